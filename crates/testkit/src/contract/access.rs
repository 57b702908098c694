//! Lines of [`model::ports::access`]: tokens and the audit.

use std::time::Duration;

use model::{
    audit::{AuditAction, AuditDraft, AuditEntry, AuditQuery, KEPT_FOR},
    clock::Timestamp,
    page::{Cursor, Position},
    ports::{
        Controlled, Cutoffs, DeadKind, DeadLetterDraft, DeadState,
        access::{Created, MOST_TOKENS, Revoked, TokenDraft},
    },
    token::{Role, Secret, SecretHash, Token},
};

use super::{
    Fixture,
    build::{by, plan},
};

fn draft(number: usize, name: &str) -> TokenDraft {
    TokenDraft {
        id: format!("{number:012x}").parse().unwrap(),
        hash: SecretHash([7; 32]),
        name: name.parse().unwrap(),
        role: Role::Operator,
        expires: None,
        by: by("ann"),
    }
}

async fn create(store: &Fixture, draft: TokenDraft) -> Token {
    match store.tokens.create(draft).await.unwrap() {
        Created::Done(token) => token,
        other @ (Created::NameTaken | Created::Full) => panic!("{other:?}"),
    }
}

async fn names(store: &Fixture) -> Vec<String> {
    let kept = store.tokens.all().await.unwrap();
    kept.iter()
        .map(|kept| kept.token.name.to_string())
        .collect()
}

fn everything() -> AuditQuery {
    AuditQuery {
        by: None,
        action: None,
        since: None,
        until: None,
        position: Position::Newest,
        limit: 100,
    }
}

/// Oldest first, as one line each.
async fn audit(store: &Fixture, query: &AuditQuery) -> Vec<String> {
    let page = store.audit.entries(query).await.unwrap();
    let line = |entry: &AuditEntry| {
        let AuditDraft {
            by, action, target, ..
        } = &entry.content;
        format!("{by} {action} {target}")
    };
    page.items.iter().rev().map(line).collect()
}

pub async fn a_token_is_kept_as_a_hash_and_read_back(store: &Fixture) {
    let secret = Secret::generate().unwrap();
    let expires = store.now().plus(Duration::from_secs(60));
    let made = create(
        store,
        TokenDraft {
            id: secret.id(),
            hash: secret.hash(),
            expires: Some(expires),
            ..draft(0, "ci")
        },
    )
    .await;
    create(store, draft(1, "later")).await;
    let kept = store.tokens.all().await.unwrap();
    assert_eq!(names(store).await, ["later", "ci"], "newest first");
    let kept = &kept[1];
    assert_eq!(kept.token, made);
    assert!(kept.hash.is(&secret.hash()));
    let expected = Token {
        id: secret.id(),
        name: "ci".parse().unwrap(),
        role: Role::Operator,
        created: store.now(),
        created_by: by("ann"),
        expires: Some(expires),
        last_used: None,
        revoked: None,
    };
    assert_eq!(made, expected);
}

pub async fn a_name_is_free_again_when_its_token_is_revoked(store: &Fixture) {
    let first = create(store, draft(1, "ci")).await;
    let again = store.tokens.create(draft(2, "ci")).await.unwrap();
    assert_eq!(again, Created::NameTaken);
    store.tokens.revoke(&first.id, &by("ann")).await.unwrap();
    create(store, draft(2, "ci")).await;
    assert_eq!(names(store).await, ["ci", "ci"]);
}

pub async fn a_token_is_revoked_once(store: &Fixture) {
    let token = create(store, draft(1, "ci")).await;
    let at = store.now();
    let expected = Token {
        revoked: Some((at, by("ann"))),
        ..token.clone()
    };
    let first = store.tokens.revoke(&token.id, &by("ann")).await.unwrap();
    assert_eq!(first, Revoked::Done(expected.clone()));
    store.clock.advance(Duration::from_secs(1));
    let second = store.tokens.revoke(&token.id, &by("bob")).await.unwrap();
    assert_eq!(second, Revoked::Before(expected.clone()));
    assert_eq!(store.tokens.all().await.unwrap()[0].token, expected);
    let unknown = "ffffffffffff".parse().unwrap();
    let unknown = store.tokens.revoke(&unknown, &by("ann")).await.unwrap();
    assert_eq!(unknown, Revoked::NotFound);
}

pub async fn the_last_use_of_a_token_only_moves_forward(store: &Fixture) {
    let used = create(store, draft(1, "used")).await.id;
    create(store, draft(2, "unused")).await;
    let gone = "ffffffffffff".parse().unwrap();
    let (early, late) = (Timestamp::from_millis(1_000), Timestamp::from_millis(2_000));
    let uses = [(used.clone(), late), (gone, late)];
    store.tokens.used(&uses).await.unwrap();
    store.tokens.used(&[(used, early)]).await.unwrap();
    let kept = store.tokens.all().await.unwrap();
    let last: Vec<_> = kept.iter().map(|kept| kept.token.last_used).collect();
    assert_eq!(last, [None, Some(late)]);
}

pub async fn a_full_store_forgets_the_tokens_that_ended_first(store: &Fixture) {
    let at = |seconds| Some(store.now().plus(Duration::from_secs(seconds)));
    for number in 0..MOST_TOKENS {
        let expires = if number == 3 { at(1) } else { None };
        let draft = TokenDraft {
            expires,
            ..draft(number, &format!("t{number}"))
        };
        create(store, draft).await;
    }
    let more = draft(MOST_TOKENS, "more");
    let full = store.tokens.create(more.clone()).await.unwrap();
    assert_eq!(full, Created::Full);
    store.clock.advance(Duration::from_secs(1));
    create(store, more).await;
    let names = names(store).await;
    assert_eq!(names.len(), MOST_TOKENS);
    assert!(!names.contains(&"t3".to_owned()), "it had expired");
}

pub async fn what_is_done_to_tokens_is_in_the_audit(store: &Fixture) {
    let token = create(store, draft(1, "ci")).await;
    store.tokens.revoke(&token.id, &by("bob")).await.unwrap();
    assert_eq!(
        audit(store, &everything()).await,
        ["ann token_create ci", "bob token_revoke ci"]
    );
    let page = store.audit.entries(&everything()).await.unwrap();
    let detail = page.items[0].content.detail.as_deref().unwrap();
    assert!(detail.contains(token.id.as_str()), "{detail}");
}

pub async fn the_audit_is_filtered_and_paged(store: &Fixture) {
    let start = store.now();
    for number in 0..5 {
        let draft = AuditDraft {
            by: by(if number % 2 == 0 { "ann" } else { "bob" }),
            action: if number < 3 {
                AuditAction::Reload
            } else {
                AuditAction::LoginFailed
            },
            target: number.to_string(),
            detail: None,
        };
        store.audit.record(draft).await.unwrap();
        store.clock.advance(Duration::from_secs(1));
    }
    let ask = |query: AuditQuery| async move { audit(store, &query).await };
    let of_ann = AuditQuery {
        by: Some(by("ann")),
        ..everything()
    };
    assert_eq!(
        ask(of_ann.clone()).await,
        ["ann reload 0", "ann reload 2", "ann login_failed 4"]
    );
    let reloads = AuditQuery {
        action: Some(AuditAction::Reload),
        ..of_ann
    };
    assert_eq!(ask(reloads).await, ["ann reload 0", "ann reload 2"]);
    let window = AuditQuery {
        since: Some(start.plus(Duration::from_secs(1))),
        until: Some(start.plus(Duration::from_secs(3))),
        ..everything()
    };
    assert_eq!(ask(window).await, ["bob reload 1", "ann reload 2"]);

    let two = AuditQuery {
        limit: 2,
        ..everything()
    };
    let mut position = Position::Newest;
    let mut pages = Vec::new();
    loop {
        let query = AuditQuery {
            position,
            ..two.clone()
        };
        let page = store.audit.entries(&query).await.unwrap();
        let targets: Vec<_> = page.items.into_iter().map(|it| it.content.target).collect();
        pages.push(targets.join(" "));
        match page.next {
            Some(next) => position = Position::Before(next),
            None => break,
        }
    }
    assert_eq!(pages, ["4 3", "2 1", "0"]);
    let forward = AuditQuery {
        position: Position::After(Cursor(0)),
        ..two
    };
    let page = store.audit.entries(&forward).await.unwrap();
    let targets: Vec<_> = page.items.iter().map(|it| &it.content.target).collect();
    assert_eq!(targets, ["0", "1"]);
    assert!(page.next.is_some(), "where to ask again");
}

fn bytes(cause: &str) -> DeadLetterDraft {
    DeadLetterDraft {
        kind: DeadKind::Undecodable,
        cause: cause.to_owned(),
        event_id: None,
        rule: None,
        job_id: None,
        source: "bus".to_owned(),
        raw: Some(b"?".to_vec()),
    }
}

pub async fn what_people_do_to_jobs_and_dead_letters_is_in_the_audit(store: &Fixture) {
    let job = store.give("e1", plan()).await;
    let letters = [
        store.keep_dead(bytes("one")).await,
        store.keep_dead(bytes("two")).await,
    ];
    let control = &store.control;
    control.cancel(&job, &by("ann")).await.unwrap();
    control.retry(&job, &by("bob")).await.unwrap();
    for (letter, how) in letters
        .iter()
        .zip([DeadState::Discarded, DeadState::Retried])
    {
        let closed = control.close_dead(letter, how, &by("eve")).await.unwrap();
        assert!(closed, "it was open");
    }
    store.claim_only(&job).await;
    control.cancel(&job, &by("ann")).await.unwrap();
    let [one, two] = &letters;
    assert_eq!(
        audit(store, &everything()).await,
        [
            format!("ann job_cancel {job}"),
            format!("bob job_retry {job}"),
            format!("eve dead_discard {one}"),
            format!("eve dead_retry {two}"),
            format!("ann job_cancel {job}"),
        ]
    );
}

pub async fn what_changed_nothing_is_not_in_the_audit(store: &Fixture) {
    let job = store.give("e1", plan()).await;
    let letter = store.keep_dead(bytes("one")).await;
    let control = &store.control;
    let refused = control.retry(&job, &by("ann")).await.unwrap();
    assert!(matches!(refused, Controlled::WrongState(_)), "{refused:?}");
    let unknown = "0-0".parse().unwrap();
    let refused = control.cancel(&unknown, &by("ann")).await.unwrap();
    assert_eq!(refused, Controlled::NotFound);
    let how = DeadState::Open;
    assert!(!control.close_dead(&letter, how, &by("ann")).await.unwrap());
    let unknown = "ffffffffffff".parse().unwrap();
    store.tokens.revoke(&unknown, &by("ann")).await.unwrap();
    assert_eq!(audit(store, &everything()).await, [""; 0]);
}

pub async fn retention_forgets_what_was_done_a_year_ago(store: &Fixture) {
    create(store, draft(1, "old")).await;
    store.clock.advance(KEPT_FOR);
    create(store, draft(2, "new")).await;
    let never = Timestamp::from_millis(0);
    let cutoffs = Cutoffs {
        events: never,
        output: never,
        dead: never,
    };
    store.upkeep.prune(&cutoffs, 100).await.unwrap();
    let all = ["ann token_create old", "ann token_create new"];
    assert_eq!(audit(store, &everything()).await, all, "not older yet");
    store.clock.advance(Duration::from_millis(1));
    store.upkeep.prune(&cutoffs, 100).await.unwrap();
    assert_eq!(audit(store, &everything()).await, ["ann token_create new"]);
    assert_eq!(names(store).await, ["new", "old"], "tokens stay");
}
