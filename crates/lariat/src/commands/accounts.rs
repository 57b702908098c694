//! `lariat accounts`: which rules run as which users, with which programs, and
//! what sudo has to allow for it. For an auditor: it needs no service.

use std::{collections::BTreeSet, path::Path};

use model::{
    account::{Account, sudoers_line},
    job::StepKind,
};
use nix::unistd::{Uid, User};
use rules::{Rule, RuleSet, render};
use serde_json::{Value, json};

use crate::{
    args::Accounts,
    check,
    config::Environment,
    console::{Column, Console, Span, Style, Table},
    exit::Exit,
    failure::Failure,
};

/// The user of the shipped units.
const SERVICE_USER: &str = "lariat";
/// Where packages put this binary.
const INSTALLED: &str = "/usr/bin/lariat";

/// A rule that runs as somebody, with one of its steps that does.
struct Row<'a> {
    rule: &'a Rule,
    account: &'a Account,
    step: usize,
    kind: StepKind,
    what: &'a str,
    sudoers: String,
}

pub(crate) fn run(
    command: &Accounts,
    environment: &Environment,
    console: &mut Console,
) -> Result<(), Failure> {
    let root = check::locate(&command.project)?;
    let place = environment.accounts(&command.accounts);
    let checked = check::project(&root, Some(place));
    if !checked.findings.is_empty() {
        let text = render::diagnostics(&checked.findings, console.colours_talk());
        console.rendered(&text);
    }
    let (Some(rules), Some(grants)) = (&checked.rules, &checked.grants) else {
        return Err(Failure::Told(Exit::Configuration));
    };
    let service = service_user(command);
    let binary = binary();
    let line = |account: &Account| sudoers_line(&service, &account.user.name, &binary);
    let rows = rows(rules, |rule| {
        let account = rule.account()?;
        grants.get(account, rule.file()).ok().map(AsRef::as_ref)
    });
    let rows: Vec<Row<'_>> = rows
        .into_iter()
        .map(|row| Row {
            sudoers: line(row.account),
            ..row
        })
        .collect();
    let used: BTreeSet<&str> = rows.iter().map(|row| row.account.name.as_str()).collect();
    let idle = grants
        .iter()
        .filter(|grant| !used.contains(grant.account.name.as_str()));
    let idle: Vec<&str> = idle.map(|grant| grant.account.name.as_str()).collect();
    if command.json {
        let rows: Vec<Value> = rows.iter().map(to_json).collect();
        return console.json(&json!({
            "file": grants.source().display().to_string(),
            "service_user": service,
            "rows": rows,
            "unused": idle,
        }));
    }
    if rows.is_empty() {
        console.say("no rule runs as another user");
    } else {
        console.table(&table(&rows))?;
    }
    for name in idle {
        console.say(&format!("account `{name}` is granted, and no rule uses it"));
    }
    Ok(())
}

/// A row for each step that runs a program as somebody.
fn rows<'a>(rules: &'a RuleSet, account: impl Fn(&'a Rule) -> Option<&'a Account>) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    for rule in rules.rules() {
        let Some(account) = account(rule) else {
            continue;
        };
        for (step, summary) in rule.steps().iter().enumerate() {
            match summary.kind {
                StepKind::Playbook | StepKind::Command => rows.push(Row {
                    rule,
                    account,
                    step,
                    kind: summary.kind,
                    what: &summary.what,
                    sudoers: String::new(),
                }),
                StepKind::Publish | StepKind::Http => {}
            }
        }
    }
    rows
}

/// Whose service it is about. An auditor asks as root, as a rule.
fn service_user(command: &Accounts) -> String {
    if let Some(user) = &command.service_user {
        return user.clone();
    }
    let us = Uid::effective();
    if us.is_root() {
        return SERVICE_USER.to_owned();
    }
    match User::from_uid(us) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => SERVICE_USER.to_owned(),
    }
}

/// The program that sudo has to allow: this one.
fn binary() -> std::path::PathBuf {
    fs_err::read_link("/proc/self/exe").unwrap_or_else(|_| Path::new(INSTALLED).to_owned())
}

fn table(rows: &[Row<'_>]) -> Table {
    let mut table = Table::new(&[
        Column::Fixed("RULE"),
        Column::Fixed("FILE"),
        Column::Fixed("ACCOUNT"),
        Column::Fixed("USER"),
        Column::Elastic("STEP"),
        Column::Note("SUDOERS"),
    ]);
    for row in rows {
        table.row(vec![
            Span::new(Style::Bold, row.rule.name().as_str()),
            Span::plain(row.rule.file()),
            Span::plain(row.account.name.as_str()),
            Span::plain(&row.account.user.name),
            Span::plain(format!("{} {} {}", row.step, row.kind, row.what)),
            Span::new(Style::Dim, &row.sudoers),
        ]);
    }
    table
}

fn to_json(row: &Row<'_>) -> Value {
    let Row {
        rule,
        account,
        step,
        kind,
        what,
        sudoers,
    } = row;
    json!({
        "rule": rule.name(),
        "file": rule.file(),
        "line": rule.line(),
        "mode": rule.mode().as_str(),
        "account": account.name,
        "user": account.user.name,
        "uid": account.user.uid,
        "step": step,
        "kind": kind,
        "what": what,
        "sudoers": sudoers,
    })
}
