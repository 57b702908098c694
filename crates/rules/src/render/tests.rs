use insta::assert_snapshot;
use model::diagnostic::{Diagnostic, Level};

use super::diagnostics;

fn finding() -> Diagnostic {
    Diagnostic {
        level: Level::Error,
        code: "unknown-key".to_owned(),
        message: "a rule has no key `whne`".to_owned(),
        file: "rules/x.yml".to_owned(),
        line: 4,
        column: 5,
        width: 4,
        source: "    whne: event.body.x == 1".to_owned(),
        hint: Some("did you mean `when`?".to_owned()),
    }
}

#[test]
fn a_finding_shows_its_line_and_what_to_do() {
    assert_snapshot!(diagnostics(&[finding()], false), @"
    error[unknown-key]: a rule has no key `whne`
     --> rules/x.yml:4:5
      |
    4 |     whne: event.body.x == 1
      |     ^^^^
      |
      = help: did you mean `when`?

    1 error
    ");
}

#[test]
fn a_finding_without_a_place_is_one_line() {
    let about_nothing =
        Diagnostic::without_place(Level::Warning, "ansible-missing", "no Ansible".to_owned());
    let about_file = Diagnostic {
        file: "rules/y.yml".to_owned(),
        ..about_nothing.clone()
    };
    let both = [about_nothing, about_file, finding(), finding()];
    assert_snapshot!(diagnostics(&both[..2], false), @"
    warning[ansible-missing]: no Ansible

    warning[ansible-missing]: no Ansible
    --> rules/y.yml

    2 warnings
    ");
    assert!(diagnostics(&both, false).ends_with("\n2 errors, 2 warnings\n"));
    assert_eq!("", diagnostics(&[], false));
}

#[test]
fn nothing_of_a_file_controls_the_terminal() {
    let hostile = Diagnostic {
        message: "\u{1b}[31mred\r\n\u{202e}".to_owned(),
        file: "rules/\u{1b}x.yml".to_owned(),
        source: "a\u{1b}[2J\u{7}\u{9b}b\tc".to_owned(),
        hint: Some("\u{1b}]0;title\u{7}".to_owned()),
        column: 99,
        width: usize::MAX,
        ..finding()
    };
    let text = diagnostics(&[hostile], false);
    assert!(
        !text.contains(|c: char| c.is_control() && c != '\n'),
        "{text:?}"
    );
    assert!(!text.contains('\u{202e}'), "{text:?}");
}

#[test]
fn colour_changes_nothing_but_colour() {
    let plain = diagnostics(&[finding()], false);
    let colour = diagnostics(&[finding()], true);
    assert!(colour.contains('\u{1b}'));
    assert_ne!(plain, colour);
}
