//! Programs that a person starts.

use std::{collections::BTreeMap, path::Path, time::Duration};

use model::job::Exit;

use super::{Plain, PlainError, as_typed};

fn shell(script: &str) -> Plain {
    Plain {
        program: "/bin/sh".into(),
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        environment: BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]),
        directory: "/".into(),
    }
}

#[tokio::test]
async fn what_a_program_prints_is_known_with_its_exit() {
    let printed = shell("echo $GREETING $PWD; echo oops >&2; exit 3")
        .printed(Duration::from_secs(20))
        .await
        .unwrap();
    assert_eq!("oops\nhello /\n", printed.text);
    assert_eq!(Exit::Code(3), printed.exit);
}

#[tokio::test]
async fn what_takes_too_long_is_ended() {
    let error = shell("sleep 100 & wait")
        .printed(Duration::from_millis(50))
        .await
        .unwrap_err();
    assert!(matches!(error, PlainError::TimedOut(_)), "{error:?}");
}

#[test]
fn a_command_line_can_be_typed_again() {
    let environment = BTreeMap::from([("A".to_owned(), "b c".to_owned())]);
    let argv = ["x", "--y=it's", "", "$(id)"].map(str::to_owned);
    assert_eq!(
        r"cd /p && A='b c' x '--y=it'\''s' '' '$(id)'",
        as_typed(Path::new("/p"), &environment, &argv)
    );
}
