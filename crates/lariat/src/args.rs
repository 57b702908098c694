//! The command line, as data. Nothing is decided here.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use model::{
    clock::Timestamp,
    event::Severity,
    id::{DeadLetterId, EventId, JobId, RuleName},
    job::JobState,
    ports::{DeadKind, DeadState},
    task::TaskStatus,
    topic::TopicPattern,
};

use crate::{console::Colours, faults::FaultPlan, span::Span};

/// Catches events and runs Ansible playbooks for them.
#[derive(Debug, Parser)]
#[command(
    name = "lariat",
    version,
    max_term_width = 100,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    /// Address of the service for client commands [env: LARIAT_URL] [default: http://127.0.0.1:8470].
    #[arg(long, global = true, value_name = "URL", display_order = 900)]
    pub(crate) url: Option<String>,
    /// File that holds the token to ask with [env: LARIAT_TOKEN, the token itself].
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath, display_order = 900)]
    pub(crate) token_file: Option<PathBuf>,
    /// PEM file with the certificates that an https service may be proven by [env: LARIAT_CA].
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath, display_order = 900)]
    pub(crate) ca: Option<PathBuf>,
    /// When to use colours.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true,
        help = "Colours: auto, always or never",
        display_order = 901
    )]
    pub(crate) color: Colours,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the service: take events in, judge them, run the jobs.
    Serve(Serve),
    /// Check lariat.yml and every rule; exit 3 when something is wrong.
    Check(Check),
    /// Which rules run as which users, and what sudo has to allow.
    Accounts(Accounts),
    /// Run the test files of the project; exit 3 when a case fails.
    Test(Test),
    /// Print the JSON Schema of a project's files, for editors.
    Schema(Schema),
    /// Write a working project with one rule and one playbook.
    Init(Init),
    /// Write a project out of another system's configuration.
    #[command(subcommand)]
    Import(Import),
    /// Publish an event.
    Publish(Publish),
    /// Say why each rule did or did not fire for an event.
    Explain(Explain),
    /// The history of events.
    #[command(subcommand)]
    Events(Events),
    /// Jobs and their output.
    #[command(subcommand)]
    Jobs(Jobs),
    /// What gave up, kept with its cause.
    #[command(subcommand)]
    Dead(Dead),
    /// How the service stands.
    Status(Json),
    /// Follow events as they are accepted.
    Tail(Tail),
    /// Put the rules in force as they are in the project now.
    Reload(Json),
    /// Who may ask the service.
    #[command(subcommand)]
    Token(access::Token),
    /// Who did what, newest first.
    Audit(access::Audit),
    /// The project's configuration.
    #[command(subcommand)]
    Config(Config),
    /// Print the completions of a shell.
    Completions(Completions),
    /// Print the manual page, or write the pages of all commands.
    Man(Man),
}

#[derive(Debug, Args)]
pub(crate) struct Json {
    /// Print the API's JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Files {
    /// Print what was written as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The project directory.
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) project: PathBuf,
    /// Address to listen on, instead of the file's; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// The store, instead of the file's, such as `sqlite:lariat.db`.
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
    #[command(flatten)]
    pub(crate) accounts: AccountsFile,
    /// For tests: kill this process at a fault point, the Nth time.
    #[arg(long, value_name = "POINT[:N]", hide = true)]
    pub(crate) fault: Option<FaultPlan>,
}

/// Who may run as whom.
#[derive(Debug, Args)]
pub(crate) struct AccountsFile {
    /// The file that grants accounts [env: LARIAT_ACCOUNTS] [default: /etc/lariat/accounts.yml].
    #[arg(long = "accounts", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) path: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Accounts {
    /// The project directory.
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) project: PathBuf,
    #[command(flatten)]
    pub(crate) accounts: AccountsFile,
    /// The user that the service runs as [default: who runs this, or `lariat` for root].
    #[arg(long, value_name = "USER")]
    pub(crate) service_user: Option<String>,
    /// Print the rows as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The project directory.
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) project: PathBuf,
    #[command(flatten)]
    pub(crate) accounts: AccountsFile,
    /// Also try every source and sink (exit 4 when one cannot be used), and ask Ansible about
    /// each playbook that a rule names.
    #[arg(long)]
    pub(crate) connect: bool,
    /// Also compare conditions with the newest events of the service.
    #[arg(long)]
    pub(crate) seen: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Where to write it; made when it is missing.
    #[arg(value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) json: Files,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Every value that is in force, and where it is said.
    Show(ShowConfig),
}

#[derive(Debug, Args)]
pub(crate) struct ShowConfig {
    /// The project directory.
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) project: PathBuf,
    /// As if it were given to `serve`.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// As if it were given to `serve`.
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell.
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write a page for each command into this directory, made when it is missing.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Import {
    /// Loopabull's: routing keys, playbooks, its queue and what it needs.
    Loopabull(ImportLoopabull),
}

#[derive(Debug, Args)]
pub(crate) struct ImportLoopabull {
    /// Loopabull's configuration file.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Where to write the project; made when it is missing [default: the file's name].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) into: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) json: Files,
}

#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// Words joined by dots, such as `org.example.hello`.
    pub(crate) topic: String,
    /// The body: JSON, `-` for standard input, or `@FILE`.
    #[arg(
        value_name = "JSON|-|@FILE",
        default_value = "{}",
        allow_hyphen_values = true
    )]
    pub(crate) body: String,
    /// The event's id; made here when absent, so that a repeat is safe.
    #[arg(long)]
    pub(crate) id: Option<EventId>,
    /// When it happened, in RFC 3339.
    #[arg(long)]
    pub(crate) time: Option<Timestamp>,
    /// How serious it is; info when absent.
    #[arg(long, value_name = "WORD", value_parser = words::severity())]
    pub(crate) severity: Option<Severity>,
    /// A header; may be given several times.
    #[arg(long = "header", value_name = "KEY=VALUE", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,
    /// Follow the event's jobs and print their output until they have ended.
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait, such as `90s` or `2h`; exit 4 after that.
    #[arg(long, requires = "wait", value_name = "TIME")]
    pub(crate) timeout: Option<Span>,
    #[command(flatten)]
    pub(crate) json: Json,
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("a header is written KEY=VALUE".to_owned()),
    }
}

/// Which part of a list.
#[derive(Debug, Args)]
pub(crate) struct Window {
    /// From this time on: RFC 3339, or as long ago as `90s`, `10m`, `24h`, `30d`.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Before this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    #[command(flatten)]
    pub(crate) page: Page,
}

#[derive(Debug, Args)]
pub(crate) struct Page {
    /// How many, at most 500.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u32>,
    /// Where the page before ended.
    #[arg(long)]
    pub(crate) cursor: Option<String>,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Events {
    /// Newest first, of the last 24 hours unless --since says otherwise.
    List {
        /// Topics that match, such as `org.example.#`.
        #[arg(long, value_name = "PATTERN")]
        topic: Option<TopicPattern>,
        /// Events of this source only, such as `api`.
        #[arg(long)]
        source: Option<String>,
        /// Events of this severity only.
        #[arg(long, value_name = "WORD", value_parser = words::severity())]
        severity: Option<Severity>,
        #[command(flatten)]
        window: Window,
    },
    /// What an event comes of, and what came of it.
    Chain {
        /// The event's id.
        #[arg(value_name = "EVENT")]
        id: EventId,
        #[command(flatten)]
        json: Json,
    },
    /// One event, whole.
    Show {
        /// The event's id.
        #[arg(value_name = "EVENT")]
        id: EventId,
        #[command(flatten)]
        json: Json,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Jobs {
    /// Newest first.
    List {
        /// Jobs of this event only.
        #[arg(long)]
        event: Option<EventId>,
        /// Jobs of this rule only.
        #[arg(long)]
        rule: Option<RuleName>,
        /// Jobs in this state only.
        #[arg(long, value_parser = words::job_state())]
        state: Option<JobState>,
        #[command(flatten)]
        window: Window,
    },
    /// One job with its attempts and steps.
    Show {
        /// The job's id.
        #[arg(value_name = "JOB")]
        id: JobId,
        #[command(flatten)]
        json: Json,
    },
    /// What a job printed, byte for byte unless to a terminal.
    Output {
        /// The job's id.
        #[arg(value_name = "JOB")]
        id: JobId,
        /// Follow until the job has ended.
        #[arg(short, long)]
        follow: bool,
        /// Instead of the last attempt.
        #[arg(long, conflicts_with = "follow")]
        attempt: Option<u32>,
        /// Instead of all steps; counts from 0.
        #[arg(long)]
        step: Option<usize>,
        /// All of it as one JSON object, with `base64` when it is not UTF-8.
        #[arg(long, conflicts_with = "follow")]
        json: bool,
    },
    /// What a job's playbooks did to which hosts.
    Tasks(Tasks),
    /// Try a failed, cancelled or held job again.
    Retry {
        /// The job's id.
        #[arg(value_name = "JOB")]
        id: JobId,
        #[command(flatten)]
        json: Json,
    },
    /// Run a job's playbook once more by hand, with its recorded event.
    Rerun(Rerun),
    /// Stop a job, or do not start it.
    Cancel {
        /// The job's id.
        #[arg(value_name = "JOB")]
        id: JobId,
        #[command(flatten)]
        json: Json,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Tasks {
    /// The job's id.
    #[arg(value_name = "JOB")]
    pub(crate) id: JobId,
    /// Follow until the job has ended.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Instead of the last attempt.
    #[arg(long, conflicts_with = "follow")]
    pub(crate) attempt: Option<u32>,
    /// Results of this kind only.
    #[arg(long, value_parser = words::task_status())]
    pub(crate) status: Option<TaskStatus>,
    /// Of this host only.
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// Everything that was told, as the API's JSON.
    #[arg(long, conflicts_with = "follow")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Rerun {
    /// The job's id.
    #[arg(value_name = "JOB")]
    pub(crate) id: JobId,
    /// On this machine, as you, in a working copy of the project. Nothing of it is recorded.
    #[arg(long, required = true)]
    pub(crate) local: bool,
    /// The working copy.
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) project: PathBuf,
    /// Instead of the playbook that the job has come to; counts from 0.
    #[arg(long)]
    pub(crate) step: Option<usize>,
    /// More options for ansible-playbook, such as `-- --check -vv`.
    #[arg(last = true, value_name = "OPTION")]
    pub(crate) options: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Dead {
    /// Open ones, newest first.
    List {
        /// Dead letters of this kind only.
        #[arg(long, value_parser = words::dead_kind())]
        kind: Option<DeadKind>,
        /// Dead letters of this rule only.
        #[arg(long)]
        rule: Option<RuleName>,
        /// Dead letters in this state, instead of the open ones.
        #[arg(long, value_parser = words::dead_state())]
        state: Option<DeadState>,
        #[command(flatten)]
        page: Page,
    },
    /// One dead letter with what arrived.
    Show {
        /// The dead letter's id.
        #[arg(value_name = "DEAD-LETTER")]
        id: DeadLetterId,
        #[command(flatten)]
        json: Json,
    },
    /// Try the job again, or take the event in again.
    Retry {
        /// The dead letter's id.
        #[arg(value_name = "DEAD-LETTER")]
        id: DeadLetterId,
        #[command(flatten)]
        json: Json,
    },
    /// Close it: there is nothing to be done.
    Discard {
        /// The dead letter's id.
        #[arg(value_name = "DEAD-LETTER")]
        id: DeadLetterId,
        #[command(flatten)]
        json: Json,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// Topics that match any of these, such as `org.example.#`.
    #[arg(value_name = "PATTERN")]
    pub(crate) patterns: Vec<TopicPattern>,
    /// Only events for which this holds, such as `event.body.state == "failed"`.
    #[arg(long = "where", value_name = "CONDITION")]
    pub(crate) condition: Option<String>,
    /// Only events of this source.
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// Only events of this severity.
    #[arg(long, value_name = "WORD")]
    pub(crate) severity: Option<Severity>,
    /// Begin with the events since this time, such as `10m`, or behind a cursor.
    #[arg(long, value_name = "TIME|CURSOR")]
    pub(crate) since: Option<String>,
    /// One JSON object a line.
    #[arg(long, conflicts_with_all = ["terse", "pretty"])]
    pub(crate) json: bool,
    /// One line for each event; the default where there is no terminal.
    #[arg(long, conflicts_with = "pretty")]
    pub(crate) terse: bool,
    /// With the body; the default on a terminal.
    #[arg(long)]
    pub(crate) pretty: bool,
}

pub(crate) mod access;
mod author;
mod words;

pub(crate) use author::{Explain, Schema, SchemaOf, Subject, Test};

#[cfg(test)]
mod tests;
