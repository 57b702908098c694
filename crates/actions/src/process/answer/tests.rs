use std::{path::Path, time::Duration};

use super::{AnswerError, answer};

async fn ask(argv: &[&str], patience: Duration) -> Result<Vec<u8>, AnswerError> {
    let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
    answer(&argv, Path::new("/"), patience).await
}

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_answer_is_what_the_program_prints() {
    let found = ask(&["sh", "-c", "echo secret; pwd"], PATIENCE).await;
    assert_eq!(b"secret\n/\n", &*found.unwrap());
}

#[tokio::test]
async fn a_program_that_fails_hangs_or_is_not_there_is_an_error() {
    let failed = ask(&["sh", "-c", "echo half; exit 3"], PATIENCE).await;
    assert_eq!(
        "it ended with exit status: 3",
        failed.unwrap_err().to_string()
    );
    let missing = ask(&["/does/not/exist"], PATIENCE).await;
    assert!(matches!(missing, Err(AnswerError::Start(_))), "{missing:?}");
    let hangs = ask(&["cat", "/dev/zero"], PATIENCE).await;
    assert!(matches!(hangs, Err(AnswerError::TooLarge)), "{hangs:?}");
    let hangs = ask(&["tail", "-f", "/dev/null"], Duration::from_millis(50)).await;
    assert!(matches!(hangs, Err(AnswerError::TimedOut(_))), "{hangs:?}");
    let empty = ask(&[], PATIENCE).await;
    assert!(matches!(empty, Err(AnswerError::Empty)), "{empty:?}");
}
