//! The key `account` of a rule: who its programs run as.
//!
//! A rule asks; it is granted outside of the project, to rule files. What is
//! not granted to the file of the rule is an error that says what a grant
//! would look like.

use model::{
    account::{Grants, NotGranted},
    id::AccountName,
    job::StepKind,
    suggest::nearest,
};

use crate::{
    code::Code,
    listing::Listing,
    step::Step,
    yaml::{Node, Reader},
};

pub(super) fn read(reader: &mut Reader<'_>, node: &Node, listing: &Listing) -> Option<AccountName> {
    let text = reader.string(node)?;
    let account: AccountName = match text.parse() {
        Ok(account) => account,
        Err(error) => {
            let hint = text
                .contains("{{")
                .then(|| "who a job runs as cannot be computed; write a rule for each".to_owned());
            reader.error(Code::BadValue, node.span, error.to_string(), hint);
            return None;
        }
    };
    let Some(grants) = listing.grants() else {
        return Some(account);
    };
    match grants.get(&account, reader.file()) {
        Ok(_) => Some(account),
        Err(problem) => {
            let (code, hint) = remedy(&problem, grants, reader.file());
            reader.error(code, node.span, problem.to_string(), Some(hint));
            None
        }
    }
}

/// What the grant would have to say.
fn remedy(problem: &NotGranted, grants: &Grants, rule_file: &str) -> (Code, String) {
    match problem {
        NotGranted::Unknown { account, .. } => {
            let known = grants.iter().map(|grant| grant.account.name.as_str());
            let hint = match nearest(account.as_str(), known) {
                Some(similar) => format!("did you mean `{similar}`?"),
                None => format!(
                    "an administrator grants it there: `accounts: {{{account}: {{user: USER, rules: [{rule_file}]}}}}`"
                ),
            };
            (Code::UnknownAccount, hint)
        }
        NotGranted::OtherRules { account, .. } => {
            let hint = format!(
                "an administrator grants it there: `{rule_file}` in the list `accounts.{account}.rules`"
            );
            (Code::NotGranted, hint)
        }
    }
}

/// Requests and events are sent by the service itself.
pub(super) fn warn_if_unused(reader: &mut Reader<'_>, node: &Node, steps: &[Step]) {
    let runs_programs = steps.iter().any(|step| match step.kind() {
        StepKind::Playbook | StepKind::Command => true,
        StepKind::Publish | StepKind::Http => false,
    });
    if !runs_programs {
        reader.warning(
            Code::UnusedAccount,
            node.span,
            "no step of this rule runs a program, so nothing runs as this account".to_owned(),
            Some("only `playbook` and `command` steps do; remove the key".to_owned()),
        );
    }
}
