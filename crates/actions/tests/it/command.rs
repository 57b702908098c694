//! What a command is given, and what its ends mean.

use std::os::unix::fs::{PermissionsExt, symlink};

use model::action::CommandCall;
use serde_json::{Value, json};

use crate::stage::{Stage, say};

fn call(argv: &[&str]) -> CommandCall {
    CommandCall {
        argv: argv.iter().map(|one| (*one).to_owned()).collect(),
        ..CommandCall::default()
    }
}

async fn check_end(script: &str, expect: &str) {
    let stage = Stage::new();
    let report = stage.script(script).await;
    assert_eq!(expect, say(&report));
}

#[tokio::test]
async fn the_end_of_a_program_is_told() {
    check_end("exit 0", "code 0 | succeeded: exit code 0").await;
    check_end("exit 3", "code 3 | failed (Worthwhile): exit code 3").await;
    check_end(
        "kill -9 $$",
        "signal 9 | failed (Worthwhile): ended by signal 9 (KILL)",
    )
    .await;
    check_end(
        "kill -SEGV $$",
        "signal 11 | failed (Worthwhile): ended by signal 11 (SEGV)",
    )
    .await;
    check_end(
        "kill -40 $$",
        "signal 40 | failed (Worthwhile): ended by signal 40",
    )
    .await;
}

async fn check_unstartable(call: CommandCall, expect: &str) {
    let stage = Stage::new();
    let root = fs_err::canonicalize(stage.project()).unwrap();
    stage.write("plain.sh", "#!/bin/sh\n");
    stage.write("no-interpreter", "#!/no/such/interpreter\n");
    let mode = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(root.join("no-interpreter"), mode).unwrap();
    fs_err::create_dir(root.join("dir")).unwrap();
    symlink("/etc", root.join("out")).unwrap();
    let said = say(&stage.command(call).await).replace(&root.display().to_string(), "PROJECT");
    assert_eq!(format!("- | unstartable: {expect}"), said);
    assert_eq!("", stage.output.text());
}

#[tokio::test]
async fn what_cannot_be_started_says_why_and_what_to_do() {
    check_unstartable(call(&[]), "the command is empty").await;
    check_unstartable(
        call(&["no-such-program"]),
        "`no-such-program` was not found on the path `/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`: install it, or name it with its path",
    )
    .await;
    check_unstartable(
        call(&["./none"]),
        "`./none` is not there: it was looked for as `PROJECT/none`",
    )
    .await;
    check_unstartable(
        call(&["./plain.sh"]),
        "`./plain.sh` is not executable: `chmod +x PROJECT/plain.sh`",
    )
    .await;
    check_unstartable(call(&["./dir"]), "`./dir` is a directory").await;
    check_unstartable(
        call(&["./no-interpreter"]),
        "`PROJECT/no-interpreter` cannot be started: it, or the interpreter that its first line names, does not exist",
    )
    .await;
    check_unstartable(
        call(&["out/passwd"]),
        "`out` leads out of the project through a symbolic link",
    )
    .await;
    check_unstartable(
        call(&["../x"]),
        "`..` is not a path inside the project: it may not be absolute nor contain `..`",
    )
    .await;
    check_unstartable(
        call(&["echo", "a\0b"]),
        "argument 1 contains a NUL character, which no program can be given: take the value from the event on standard input",
    )
    .await;
    let huge = "x".repeat(200_000);
    check_unstartable(
        call(&["true", &huge]),
        "`/usr/bin/true` cannot be started: arguments and environment are too long; large values are in the event on standard input",
    )
    .await;
}

#[tokio::test]
async fn a_directory_outside_the_project_is_refused() {
    for (chdir, expect) in [
        ("none", "chdir: `none` is not there"),
        (
            "out",
            "chdir: `out` leads out of the project through a symbolic link",
        ),
        ("plain.sh", "chdir: `PROJECT/plain.sh` is not a directory"),
    ] {
        let call = CommandCall {
            chdir: Some(chdir.to_owned()),
            ..call(&["true"])
        };
        check_unstartable(call, expect).await;
    }
}

#[tokio::test]
async fn a_program_runs_in_the_project_with_a_clean_environment() {
    let stage = Stage::new();
    fs_err::create_dir(stage.project().join("sub")).unwrap();
    let mut call = call(&[
        "sh",
        "-c",
        "pwd; env | sort; ls /proc/self/fd | tr '\\n' ' '; umask",
    ]);
    call.chdir = Some("sub".to_owned());
    call.env.insert("MINE".to_owned(), "{{ x }}".to_owned());
    call.env
        .insert("LARIAT_JOB".to_owned(), "pretended".to_owned());
    let report = stage.command(call).await;
    assert_eq!("code 0 | succeeded: exit code 0", say(&report));
    let root = fs_err::canonicalize(stage.project()).unwrap();
    let job = stage.context.job.to_string();
    let home = stage.settings.home.display().to_string();
    let output = stage
        .output
        .text()
        .replace(&root.display().to_string(), "PROJECT")
        .replace(&job, "JOB")
        .replace(&format!("HOME={home}\n"), "HOME=HOME\n");
    let lines: Vec<&str> = output
        .lines()
        .filter(|line| !line.starts_with("LARIAT_EVENT_FILE=") && !line.starts_with("_="))
        .collect();
    assert_eq!(
        vec![
            "PROJECT/sub",
            "HOME=HOME",
            "LANG=C.UTF-8",
            "LARIAT_ATTEMPT=1",
            "LARIAT_EVENT_ID=2026-event",
            "LARIAT_JOB=JOB",
            "LARIAT_LEASE=JOB/1/0",
            "LARIAT_RESULT_FD=3",
            "LARIAT_RULE=a-rule",
            "MINE={{ x }}",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PWD=PROJECT/sub",
            // The fifth is that of `ls` itself.
            "0 1 2 3 4 0022",
        ],
        lines
    );
}

#[tokio::test]
async fn the_event_is_on_standard_input_and_in_a_private_file() {
    let mut stage = Stage::new();
    stage.set_body(json!({"a": "\u{1b}[31m $(id) '\""}));
    let report = stage
        .script("cat; cat \"$LARIAT_EVENT_FILE\"; stat -c %a \"$LARIAT_EVENT_FILE\"; echo \"$LARIAT_EVENT_FILE\"")
        .await;
    assert_eq!("code 0 | succeeded: exit code 0", say(&report));
    let output = stage.output.text();
    let lines: Vec<&str> = output.lines().collect();
    let expect = serde_json::to_value(stage.context.event.as_ref()).unwrap();
    for line in [lines[0], lines[1]] {
        assert_eq!(expect, serde_json::from_str::<Value>(line).unwrap());
    }
    assert_eq!("600", lines[2]);
    assert!(!std::path::Path::new(lines[3]).exists());
    let left: Vec<_> = fs_err::read_dir(&stage.settings.runtime_dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(vec![".lock"], left);
}

#[tokio::test]
async fn an_event_that_nobody_reads_holds_nothing_up() {
    let mut stage = Stage::new();
    stage.set_body(json!("x".repeat(900_000)));
    let report = stage.script("echo done").await;
    assert_eq!("code 0 | succeeded: exit code 0", say(&report));
}

async fn check_result(script: &str, result: Value, expect: &str) {
    let stage = Stage::new();
    let report = stage.script(script).await;
    assert_eq!(expect, say(&report));
    assert_eq!(result, report.result.map_or(Value::Null, Value::Object));
}

#[tokio::test]
async fn a_result_is_a_json_object_on_the_result_descriptor() {
    let fine = "code 0 | succeeded: exit code 0";
    check_result("true", Value::Null, fine).await;
    check_result(
        "echo '{\"a\": 1.10}' >&$LARIAT_RESULT_FD",
        serde_json::from_str("{\"a\": 1.10}").unwrap(),
        fine,
    )
    .await;
    check_result(
        "echo '[1]' >&$LARIAT_RESULT_FD",
        Value::Null,
        "code 0 | succeeded: exit code 0; its result is not a JSON object and was not kept",
    )
    .await;
    check_result(
        "echo '{' >&$LARIAT_RESULT_FD",
        Value::Null,
        "code 0 | succeeded: exit code 0; its result is not JSON and was not kept: EOF while parsing an object at line 2 column 0",
    )
    .await;
    check_result(
        "head -c 1048577 /dev/zero >&$LARIAT_RESULT_FD",
        Value::Null,
        "code 0 | succeeded: exit code 0; its result is longer than 1 MiB and was not kept",
    )
    .await;
    check_result(
        "echo '{\"why\": \"x\"}' >&$LARIAT_RESULT_FD; exit 4",
        json!({"why": "x"}),
        "code 4 | failed (Worthwhile): exit code 4",
    )
    .await;
}

#[tokio::test]
async fn output_is_kept_byte_by_byte_and_in_order() {
    let stage = Stage::new();
    let report = stage
        .script("printf 'a\\303'; printf '\\244 \\303' >&2; printf '\\377\\000z'; exit 0")
        .await;
    assert_eq!("code 0 | succeeded: exit code 0", say(&report));
    assert_eq!(b"a\xc3\xa4 \xc3\xff\x00z".to_vec(), stage.output.bytes());
}

#[tokio::test]
async fn a_flood_is_capped_and_its_end_is_kept() {
    let mut stage = Stage::new();
    stage.context.output_cap = 100_000;
    let report = stage
        .script("echo first; head -c 50000000 /dev/zero | tr '\\0' x; echo; echo last")
        .await;
    assert_eq!("code 0 | succeeded: exit code 0", say(&report));
    let output = stage.output.text();
    assert!(output.starts_with("first\n"));
    assert!(output.ends_with("x\nlast\n"));
    assert!(
        output.contains("[lariat: 49900012 bytes of output left out]"),
        "{}",
        output.len()
    );
    assert!(output.len() < 100_100, "{}", output.len());
}
