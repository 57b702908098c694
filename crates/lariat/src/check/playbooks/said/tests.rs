//! What each generation of Ansible says, and what is made of it.

use std::path::Path;

use model::diagnostic::Diagnostic;

use super::diagnostic;

#[track_caller]
fn check(text: &str, expect: &str) {
    let Diagnostic {
        level,
        code,
        message,
        file,
        line,
        column,
        ..
    } = diagnostic(Path::new("/p"), "playbooks/a.yml", text);
    let found = format!("{level:?} {code} {file}:{line}:{column} {message}");
    assert_eq!(expect, found);
}

#[test]
fn an_error_has_the_place_that_ansible_names() {
    check(
        "ERROR! couldn't resolve module/action 'debu'. This often indicates a misspelling.\n\n\
         The error appears to be in '/p/roles/x/tasks/main.yml': line 2, column 3, but may\n\
         be elsewhere in the file depending on the exact syntax problem.\n",
        "Error playbook-syntax roles/x/tasks/main.yml:2:3 couldn't resolve module/action 'debu'. \
         This often indicates a misspelling.",
    );
    check(
        "[WARNING]: something\n[ERROR]: couldn't resolve module/action 'debu'.\n\
         Origin: /p/playbooks/a.yml:12:7\n\n11 - x\n",
        "Error playbook-syntax playbooks/a.yml:12:7 couldn't resolve module/action 'debu'.",
    );
    check(
        "[ERROR]: no\nOrigin: /elsewhere/a.yml:12\n",
        "Error playbook-syntax /elsewhere/a.yml:12:1 no",
    );
}

#[test]
fn an_error_without_a_place_is_one_of_the_playbook() {
    check(
        "ERROR! the playbook could not be found\n",
        "Error playbook-syntax playbooks/a.yml:0:0 the playbook could not be found",
    );
    check(
        "Traceback:\n  File\nImportError: no\n\n",
        "Error playbook-syntax playbooks/a.yml:0:0 ImportError: no",
    );
    check(
        "",
        "Error playbook-syntax playbooks/a.yml:0:0 it says nothing",
    );
}

#[test]
fn what_only_an_event_can_say_is_no_error() {
    check(
        "ERROR! Error when evaluating variable in import path: {{ msg.kind }}.yml.\n\nWhen using\n",
        "Warning playbook-unchecked playbooks/a.yml:0:0 \
         Error when evaluating variable in import path: {{ msg.kind }}.yml.",
    );
    check(
        "ERROR! Attempting to decrypt but no vault secrets found\n",
        "Warning playbook-unchecked playbooks/a.yml:0:0 \
         Attempting to decrypt but no vault secrets found",
    );
}
