use std::path::Path;

use super::masked;
use crate::config::parse;

#[track_caller]
fn check_masked(line: &str, expected: &str) {
    assert_eq!(expected, masked(line));
    assert_eq!(line.chars().count(), expected.chars().count());
}

#[test]
fn a_login_is_shown_without_its_password() {
    check_masked("url: amqp://u:hunter2@h/v", "url: amqp://u:*******@h/v");
    check_masked("url: amqp://u:hün@h", "url: amqp://u:***@h");
    check_masked("url: amqp://u:a/b@c@h", "url: amqp://u:*****@h");
    check_masked("url: 'amqp://u:a b@h'", "url: 'amqp://u:***@h'");
    check_masked("{url: 'amqp://u:p@h', x: 1}", "{url: 'amqp://u:*@h', x: 1}");
    check_masked(
        "[amqp://a:b@c, amqp://d:e@f]",
        "[amqp://a:*@c, amqp://d:*@f]",
    );
    check_masked("hosts: [\"joe:S3@h2\"]", "hosts: [\"joe:**@h2\"]");
    check_masked("hosts: 'joe: S3@h2'", "hosts: 'joe:***@h2'");
    check_masked("url: amqp://u@h:5672", "url: amqp://u@h:5672");
    check_masked("url: amqp://h:5672/v", "url: amqp://h:5672/v");
    check_masked("url: \"http://h/x?y=S3\"", "url: \"http://h/x?****\"");
}

#[test]
fn a_key_that_sounds_like_a_secret_hides_its_value() {
    check_masked("password: hunter2", "password: *******");
    check_masked("password: \"hunter2\"", "password: \"*******\"");
    check_masked("{password: x, auth: plain}", "{password: *, auth: plain}");
    check_masked("{password: x,y, auth: a}", "{password: ***, auth: a}");
    check_masked("{password: 'x', auth: a}", "{password: '*', auth: a}");
    check_masked("requests_per_token: 600", "requests_per_token: 600");
    check_masked("passwrd: S3", "passwrd: **");
    check_masked("paswort: S3", "paswort: **");
    check_masked("Client-Secret: S3", "Client-Secret: **");
    check_masked("api_token = S3", "api_token = **");
    check_masked("\"pw\":\"S3\"", "\"pw\":\"**\"");
    check_masked("password:S3", "password:**");
    check_masked("password S3", "password **");
    check_masked("password: {value: S3}", "password: {**********");
    check_masked("password: {file: a, S3}", "password: {************");
}

#[test]
fn what_is_no_secret_is_shown() {
    for line in [
        "",
        "password:",
        "password: ''",
        "password: {file: a}",
        "password: {command: [tool, x]}",
        "queue: {name: q, declare: passive, durable: true}",
        "tls: {ca: ca.pem, key: client.key}",
        "store: sqlite:lariat.db",
        "listen: '[::1]:8470'",
    ] {
        check_masked(line, line);
    }
}

#[test]
fn no_finding_shows_a_password() {
    for slip in [
        "passwrd: S3CRT",
        "password: S3CRT",
        "password: {value: S3CRT}",
        "password: {file: x, S3CRT: y}",
        "password:\n      S3CRT",
        "password:\n      value: S3CRT",
        "password:\n    - S3CRT",
        "password S3CRT",
        "password: \"S3CRT",
        "{password: S3CRT",
        "hosts: [\"joe:S3CRT@h2\"]",
        "hosts: [\"joe:S3CRT/x@h2\"]",
        "url: \"http://joe:S3CRT@h/x?y=S3CRT\"",
        "url: \"amqp://h/x?y=S3CRT\"",
        "url: \"amqp://joe:S3CRT/x@h\"",
        "\"joe:S3CRT@h\": 1",
        "token: S3CRT",
    ] {
        let text = format!(
            "sources:\n  a:\n    kind: amqp\n    queue: q\n    username: joe\n    {slip}\n"
        );
        let loaded = parse(&text, Path::new("/project"));
        assert!(loaded.has_errors(), "{slip}");
        let found = format!("{:#?}", loaded.findings);
        assert!(!found.contains("S3CRT"), "{slip}: {found}");
    }
}

#[test]
fn what_helps_is_not_hidden() {
    let text = "sources: {a: {kind: amqp, queue: q, url: 'amqp://u@h'}}";
    let loaded = parse(text, Path::new("/project"));
    let hint = loaded.findings[0].hint.as_deref().unwrap();
    assert!(hint.contains("`password: {file: PATH}`"), "{hint}");
    assert!(hint.contains("`password: ''`"), "{hint}");
}
