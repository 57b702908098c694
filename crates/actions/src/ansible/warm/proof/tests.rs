use model::job::Exit;

use super::{Observed, mask};

#[track_caller]
fn check(line: &str, masked: &str) {
    assert_eq!(masked, mask(line), "{line}");
}

#[test]
fn times_are_hidden_and_counts_are_not() {
    check("ok: [here]", "ok: [here]");
    check("here : ok=12 changed=3", "here : ok=12 changed=3");
    check("Saturday 21 (0:00:00.026)", "Saturday 21 (#)");
    check("shell ---- 0.02s", "shell ---- #s");
    check("1.: and 2.", "1.: and 2.");
    check("at 12:30, done  ", "at #, done");
}

fn observed(exit: i32, lines: &[&str]) -> Observed {
    Observed {
        exit: Some(Exit::Code(exit)),
        lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        told: Vec::new(),
        result: Ok(None),
    }
}

#[track_caller]
fn check_difference(warm: &Observed, expect: Option<&str>) {
    let cold = observed(0, &["a", "b", "# x", "# y"]);
    assert_eq!(expect, cold.differs_from(warm).as_deref());
}

#[test]
fn whatever_can_be_seen_counts() {
    let same = ["a", "b", "# x", "# y"];
    check_difference(&observed(0, &same), None);
    check_difference(&observed(0, &["# y", "a", "# x", "b"]), None);
    check_difference(&observed(2, &same), Some("exit code 2, not exit code 0"));
    check_difference(
        &observed(0, &["b", "a", "# x", "# y"]),
        Some("it printed \"b\", not \"a\""),
    );
    check_difference(
        &observed(0, &["a", "# x", "# y"]),
        Some("it printed \"nothing\", not \"b\""),
    );
    check_difference(
        &observed(0, &["a", "b", "# x", "# y", "# y"]),
        Some("it printed \"# y\", not \"nothing\""),
    );
    let other = Observed {
        told: vec!["here ok".to_owned()],
        ..observed(0, &same)
    };
    check_difference(&other, Some("it told here ok, not nothing"));
    let other = Observed {
        result: Err("none".to_owned()),
        ..observed(0, &same)
    };
    check_difference(
        &other,
        Some("its recap or its `set_stats` say something else"),
    );
}
