//! What the process says with its exit code. The manual has the same table,
//! and a test compares the two.

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok,
    Unexpected,
    Usage,
    Configuration,
    Unreachable,
    JobFailed,
    Interrupted,
    Terminated,
}

impl Exit {
    pub(crate) const ALL: [Self; 8] = [
        Self::Ok,
        Self::Unexpected,
        Self::Usage,
        Self::Configuration,
        Self::Unreachable,
        Self::JobFailed,
        Self::Interrupted,
        Self::Terminated,
    ];

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Unexpected => 1,
            Self::Usage => 2,
            Self::Configuration => 3,
            Self::Unreachable => 4,
            Self::JobFailed => 5,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// The line of the manual.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "it worked, or there was nothing to do",
            Self::Unexpected => "something went wrong that no other code names",
            Self::Usage => "the command line, or the request made from it, is not valid",
            Self::Configuration => {
                "`lariat.yml`, a rule or a test is not valid, and diagnostics say where; or a test fails"
            }
            Self::Unreachable => {
                "the service or a broker did not answer, could not take it now, a secret could not be read, or `--timeout` passed"
            }
            Self::JobFailed => "an awaited job failed, was cancelled, or is held",
            Self::Interrupted => "stopped at once by Ctrl-C (SIGINT)",
            Self::Terminated => "stopped at once by SIGTERM",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn the_manual_lists_every_exit_code() {
        let manual = include_str!("../../../docs/cli.md");
        let listed: Vec<String> = manual
            .lines()
            .filter(|line| {
                line.strip_prefix("| ")
                    .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            })
            .map(str::to_owned)
            .collect();
        let expected: Vec<String> = Exit::ALL
            .into_iter()
            .map(|exit| format!("| {} | {} |", exit.code(), exit.meaning()))
            .collect();
        assert_eq!(expected, listed);
    }
}
