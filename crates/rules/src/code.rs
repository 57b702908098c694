//! The codes of diagnostics: stable words, each documented in the manual.
//!
//! A test compares this list with `docs/rules.md`.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What kind of problem a diagnostic is about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

codes! {
    /// The text is not YAML.
    YamlSyntax = "yaml-syntax",
    /// YAML that means something else to every reader: tags, merge keys,
    /// several documents, keys that are not text.
    YamlFeature = "yaml-feature",
    /// Too large, too deep, or aliases that grow too much.
    YamlLimit = "yaml-limit",
    DuplicateKey = "duplicate-key",
    UnknownKey = "unknown-key",
    /// A key or word that a later version will have.
    LaterVersion = "later-version",
    MissingKey = "missing-key",
    WrongType = "wrong-type",
    BadValue = "bad-value",
    BadPattern = "bad-pattern",
    /// A pattern that matches every topic from outside.
    CatchAll = "catch-all",
    BadCondition = "bad-condition",
    ConstantCondition = "constant-condition",
    BadTemplate = "bad-template",
    DuplicateRule = "duplicate-rule",
    EmptyRun = "empty-run",
    /// A file that a rule names and the project does not have.
    MissingFile = "missing-file",
    PathEscape = "path-escape",
    /// A sink that `lariat.yml` does not have.
    UnknownSink = "unknown-sink",
    /// A source that `lariat.yml` does not have.
    UnknownSource = "unknown-source",
    /// An account that nobody grants on this machine.
    UnknownAccount = "unknown-account",
    /// An account that is granted to other rule files.
    NotGranted = "not-granted",
    /// An account where no step runs a program.
    UnusedAccount = "unused-account",
    /// A user that this machine does not have.
    UnknownUser = "unknown-user",
    /// A file that others could change, or that they cannot read and have to.
    UnsafeFile = "unsafe-file",
    /// A secret where others can read it.
    ExposedSecret = "exposed-secret",
    /// A service that others can reach, or that grants accounts, and that nobody
    /// has a token for.
    OpenToAll = "open-to-all",
    /// A rule that a test names and the project does not have.
    UnknownRule = "unknown-rule",
    /// Names of rules that people take for each other.
    SimilarName = "similar-name",
    /// A pattern whose topics come from no source.
    NoSource = "no-source",
    /// A field that no recent event has, while they have a similar one.
    UnseenField = "unseen-field",
    ReservedVariable = "reserved-variable",
    BadVariable = "bad-variable",
    /// Event data where it would be evaluated.
    UntrustedCode = "untrusted-code",
    RuleOff = "rule-off",
    NoRules = "no-rules",
    NoCases = "no-cases",
    /// More problems in one file than are shown.
    TooMany = "too-many",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
