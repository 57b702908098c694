//! What is refused when a condition is parsed, where, and with what advice.

use crate::expr::Condition;

#[track_caller]
fn check(text: &str, at: &str, message: &str, hint: &str) {
    let error = Condition::parse(text).expect_err(text);
    let marked = text.get(error.offset..error.offset + error.len);
    assert_eq!(
        (Some(at), message, hint),
        (
            marked,
            error.message.as_str(),
            error.hint.as_deref().unwrap_or("")
        ),
        "{text}"
    );
}

#[test]
fn habits_of_other_languages_get_advice() {
    check(
        "{{ msg.x }} == 1",
        "{{",
        "a condition is an expression already",
        "write it without `{{ }}` and `{% %}`",
    );
    check(
        "{% if x %}",
        "{%",
        "a condition is an expression already",
        "write it without `{{ }}` and `{% %}`",
    );
    check(
        "msg.a && msg.b",
        "&&",
        "`&&` is not an operator",
        "write `and`",
    );
    check(
        "msg.a || msg.b",
        "||",
        "`||` is not an operator",
        "write `or`",
    );
    check("!msg.a", "!", "`!` is not an operator", "write `not`");
    check("msg.a = 1", "=", "`=` is not a comparison", "write `==`");
    check(
        "msg.a === 1",
        "===",
        "`===` is not an operator",
        "write `==`",
    );
    check(
        "msg.a ? 1 : 2",
        "?",
        "`?` is not an operator",
        "a choice is written `a if condition else b`",
    );
    check(
        "msg.a AND msg.b",
        "AND",
        "`AND` is not an operator",
        "write `and`",
    );
    check(
        "msg.a == null",
        "null",
        "there is no `null` here",
        "write `none`",
    );
    check(
        "msg.a == TRUE",
        "TRUE",
        "there is no `TRUE` here",
        "write `true`",
    );
    check(
        "body.a == 1",
        "body",
        "there is no `body` here",
        "write `event.body`",
    );
    check(
        "msg.a == “x”",
        "“",
        "this quotation mark does not start a text",
        "write `\"` or `'`",
    );
    check(
        "$event.id == 1",
        "$",
        "names are not marked with `$`",
        "write the name alone, such as `event.body.status`",
    );
    check(
        "lookup('pipe', 'id') == ''",
        "lookup",
        "there is no function `lookup`",
        "lookups belong into the playbook; Lariat never runs them",
    );
    check(
        "length(msg.a) > 1",
        "length",
        "there is no function `length`",
        "write it as a filter: `value | length`",
    );
    check(
        "msg.a =~ 'x'",
        "=~",
        "`=~` is not an operator",
        "write `is search('…')`",
    );
    check("msg.a <> 1", "<>", "`<>` is not an operator", "write `!=`");
    check(
        "msg.a contains 'x'",
        "contains",
        "`contains` is not an operator",
        "write `is contains('…')`",
    );
    check(
        "msg.a is defined if msg.b else 1",
        "if",
        "the test takes `if` for its argument",
        "put the test in parentheses: `(… is defined)`",
    );
}

#[test]
fn unknown_words_are_found_when_parsed() {
    check(
        "evnet.body.x == 1",
        "evnet",
        "there is no `evnet` here",
        "did you mean `event`?",
    );
    check(
        "msg.a | lowr == 1",
        "lowr",
        "there is no filter `lowr`",
        "did you mean `lower`?",
    );
    check(
        "msg.a is defnied",
        "defnied",
        "there is no test `defnied`",
        "did you mean `defined`?",
    );
    check(
        "msg.a.startwith('x')",
        "startwith",
        "there is no method `startwith`",
        "did you mean `startswith`?",
    );
    check(
        "msg.a | map('uper')",
        "'uper'",
        "there is no filter `uper`",
        "did you mean `upper`?",
    );
    check(
        "msg.a is select('=', 1)",
        "'='",
        "there is no test `=`",
        "did you mean `==`?",
    );
    check(
        "msg.a | replace('a')",
        "replace",
        "`replace` needs `new`",
        "",
    );
    check("msg.a | lower(1)", "1", "`lower` takes no arguments", "");
    check(
        "msg.a | sort(revers=true)",
        "revers",
        "`sort` has no argument `revers`",
        "`sort` takes reverse, case_sensitive, attribute",
    );
    check(
        "msg.a | selectattr(msg.b)",
        "msg.b",
        "this must be a constant text",
        "",
    );
    check(
        "{1: 2} == msg",
        "1",
        "the keys of a mapping are texts",
        "put the key in quotation marks",
    );
}

#[test]
fn constant_patterns_are_checked_when_parsed() {
    check(
        "msg.a is match('(')",
        "'('",
        "the regular expression is not valid: unclosed group",
        "",
    );
    check(
        "msg.a | regex_replace('(?=a)', '')",
        "'(?=a)'",
        "the regular expression is not valid: look-around, including look-ahead and look-behind, is not supported",
        "look-around and back-references are not supported",
    );
    check(
        "msg.a is regex('a{1000}{1000}')",
        "'a{1000}{1000}'",
        "the regular expression is too large",
        "",
    );
    check(
        "msg.a is glob('[a')",
        "'[a'",
        "the glob has a `[` without `]`",
        "",
    );
}

#[test]
fn broken_texts_are_errors_with_a_place() {
    for text in [
        "",
        "  ",
        "msg.",
        "(msg",
        "msg.a ==",
        "msg.a msg.b",
        "'abc",
        "]",
        "}}",
        "msg }} x",
        "1_",
        "99999999999999999999999999999999999999999",
        "a b c",
        "\u{0}",
        "ä",
        "msg.a[",
        "msg.a is",
        "msg|",
    ] {
        let error = Condition::parse(text).expect_err(text);
        assert!(
            error.offset + error.len <= text.len(),
            "{text:?}: {error:?}"
        );
        assert!(text.is_char_boundary(error.offset), "{text:?}: {error:?}");
        assert!(
            text.is_char_boundary(error.offset + error.len),
            "{text:?}: {error:?}"
        );
    }
}

#[test]
fn bombs_are_refused_without_harm() {
    for bomb in [
        "(".repeat(60_000),
        "[".repeat(60_000),
        "not ".repeat(16_000) + "true",
        "-".repeat(60_000) + "1",
        "1 if 1 else ".repeat(5_000) + "1",
        "msg".to_owned() + &".a".repeat(30_000),
        "1".to_owned() + &" + 1".repeat(15_000),
        "1".to_owned() + &" and 1".repeat(9_000),
        "msg".to_owned() + &"|lower".repeat(9_000),
        "msg".to_owned() + &"[0]".repeat(20_000),
        "msg".to_owned() + &" is defined".repeat(5_000),
        "1".to_owned() + &" + 1".repeat(3_990),
        "1".to_owned() + &" and 1".repeat(8_000),
        "[".repeat(28) + "1" + &" + 1".repeat(3_990) + &"]".repeat(28),
        "msg".to_owned() + &".a".repeat(900),
        "x".repeat(70_000),
    ] {
        assert!(Condition::parse(&bomb).is_err(), "{}", bomb.len());
    }
}

#[test]
fn long_chains_are_fine() {
    let many: Vec<String> = (0..400).map(|n| format!("msg.a == {n}")).collect();
    assert!(Condition::parse(&many.join(" or ")).is_ok());
    let words: Vec<String> = (0..3000).map(|n| format!("'word{n}'")).collect();
    assert!(Condition::parse(&format!("msg.a in [{}]", words.join(", "))).is_ok());
    assert!(Condition::parse(&("(".repeat(20) + "1" + &")".repeat(20))).is_ok());
    assert!(Condition::parse(&("msg".to_owned() + &".a".repeat(50))).is_ok());
}

#[test]
fn fields_that_no_event_can_have_are_refused() {
    for text in [
        "event.bdy.x == 1",
        "event['bdy'].x",
        "event.bdy.x is defined",
    ] {
        let at = text
            .split([' ', '='])
            .next()
            .unwrap()
            .trim_end_matches(".x");
        check(
            text,
            at,
            "an event has no `bdy`",
            "did you mean `event.body`?",
        );
    }
    check(
        "msg.x == 1 and (event.build | default(1))",
        "event.build",
        "an event has no `build`",
        "what was sent is in `event.body`, or `msg` for short",
    );
    check(
        "rule.name == 'x'",
        "rule.name",
        "`rule` has no `name`: it is the rule's name",
        "write `rule`",
    );
    for text in [
        "event.cause is defined",
        "event.cause.hops > 1",
        "event.headers.x == 1",
    ] {
        assert!(Condition::parse(text).is_ok(), "{text}");
    }
}
