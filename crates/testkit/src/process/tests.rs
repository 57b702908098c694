use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn shell(script: &str, marker: &str) -> Program {
    Program::start(
        Path::new("/bin/sh"),
        &["-c", script],
        &[("TESTKIT_MARKER", marker)],
    )
}

fn marker(name: &str) -> String {
    format!("{name}-{}", uuid::Uuid::now_v7())
}

#[tokio::test]
async fn a_program_is_waited_for_until_it_listens() {
    let mut program = shell(
        "echo starting >&2; echo 'listening on http://127.0.0.1:1' >&2; exec sleep 100",
        &marker("listens"),
    );
    assert_eq!(program.wait_listening(PATIENCE).await, "http://127.0.0.1:1");
    assert!(program.stderr().starts_with("starting\n"));
    assert!(!program.has_ended());
    program.signal(Signal::SIGTERM);
    assert!(!program.wait(PATIENCE).await.success());
}

#[tokio::test]
#[should_panic(expected = "before it listened; it said:\nno store")]
async fn a_program_that_ends_early_is_a_failure_with_its_words() {
    let mut program = shell("echo no store >&2; sleep 0.2; exit 3", &marker("ends"));
    program.wait_listening(PATIENCE).await;
}

#[tokio::test]
async fn what_is_left_behind_is_found_by_its_environment() {
    let marker = marker("orphan");
    assert!(processes_with(&marker).is_empty());
    let mut program = shell("sleep 100 & wait", &marker);
    wait_until("both run", PATIENCE, async || {
        processes_with(&marker).len() == 2
    })
    .await;
    program.kill().await;
    let orphans = processes_with(&marker);
    assert_eq!(orphans.len(), 1, "the child outlives its parent");
    for orphan in orphans {
        kill(Pid::from_raw(orphan.cast_signed()), Signal::SIGKILL).unwrap();
    }
    wait_gone(&marker, PATIENCE).await;
}

#[tokio::test]
#[should_panic(expected = "it still is not so that pigs fly")]
async fn a_condition_that_never_comes_is_named() {
    wait_until("pigs fly", Duration::from_millis(30), async || false).await;
}
