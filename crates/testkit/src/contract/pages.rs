//! Pages of jobs and of dead letters, as events have them.

use model::{
    page::{DeadQuery, JobQuery, Position},
    ports::{DeadKind, DeadLetterDraft, DeadState},
};

use super::{
    Fixture, all_jobs,
    build::{by, plan, rule},
    open_dead,
};

pub(super) async fn jobs_have_pages(store: &Fixture) {
    let mut jobs = Vec::new();
    for n in 0..7 {
        jobs.push(store.give(&format!("job{n}"), plan()).await);
    }
    jobs.reverse();

    let mut seen = Vec::new();
    let mut position = Position::Newest;
    loop {
        let query = JobQuery {
            position,
            limit: 3,
            ..all_jobs()
        };
        let page = store.history.jobs(&query).await.unwrap();
        seen.extend(page.items.into_iter().map(|job| job.id));
        match page.next {
            Some(cursor) => position = Position::Before(cursor),
            None => break,
        }
        // Running a job moves it nowhere.
        store.claim(1).await;
    }
    assert_eq!(seen, jobs);
}

pub(super) async fn dead_letters_have_pages(store: &Fixture) {
    let mut letters = Vec::new();
    for n in 0..7 {
        let draft = DeadLetterDraft {
            kind: DeadKind::Undecodable,
            cause: format!("letter {n}"),
            event_id: None,
            rule: None,
            job_id: None,
            source: "fedora".to_owned(),
            raw: None,
        };
        letters.push(store.keep_dead(draft).await);
    }
    letters.reverse();

    let mut seen = Vec::new();
    let mut position = Position::Newest;
    loop {
        let query = DeadQuery {
            position,
            limit: 3,
            ..open_dead()
        };
        let page = store.history.dead_letters(&query).await.unwrap();
        seen.extend(page.items.into_iter().map(|letter| letter.id));
        match page.next {
            Some(cursor) => position = Position::Before(cursor),
            None => break,
        }
    }
    assert_eq!(seen, letters);

    let closed = store
        .control
        .close_dead(&letters[2], DeadState::Discarded, &by("ann"))
        .await;
    assert!(closed.unwrap());
    for (state, expect) in [
        (None, 6),
        (Some(DeadState::Open), 6),
        (Some(DeadState::Discarded), 1),
        (Some(DeadState::Retried), 0),
    ] {
        let query = DeadQuery {
            state,
            kind: Some(DeadKind::Undecodable),
            ..open_dead()
        };
        let page = store.history.dead_letters(&query).await.unwrap();
        assert_eq!(page.items.len(), expect, "letters that are {state:?}");
    }
    for (kind, of_rule) in [(Some(DeadKind::JobFailed), None), (None, Some(rule("r")))] {
        let query = DeadQuery {
            kind,
            rule: of_rule,
            ..open_dead()
        };
        let page = store.history.dead_letters(&query).await.unwrap();
        assert_eq!(page.items, []);
    }
}
