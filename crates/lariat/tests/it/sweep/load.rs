//! Events that keep arriving while the server dies, and what was promised.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::server::Server;
use crate::dice::Dice;

/// What the sweep has sent: an event counts as accepted once a 202 for it was
/// read, and is sent again, as it was, while it has none.
pub(crate) struct Load {
    dice: Dice,
    sent: u64,
    accepted: BTreeMap<String, Value>,
    unanswered: BTreeMap<String, Value>,
}

impl Load {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            sent: 0,
            accepted: BTreeMap::new(),
            unanswered: BTreeMap::new(),
        }
    }

    pub(crate) fn accepted(&self) -> &BTreeMap<String, Value> {
        &self.accepted
    }

    /// A number below `sides`.
    pub(crate) fn dice(&mut self, sides: u64) -> u64 {
        self.dice.roll(sides)
    }

    /// One event of this kind, accepted; its id.
    pub(crate) async fn publish(&mut self, server: &Server, kind: &str) -> String {
        let event = self.event(kind);
        let id = event["id"].as_str().unwrap_or_default().to_owned();
        self.send(server, vec![event]).await;
        id
    }

    /// A few rounds of load, until the moment has come: what is asked for is
    /// what can be worked off, so that a kill finds every kind of moment.
    pub(crate) async fn run_for(&mut self, server: &mut Server, moment: Duration) {
        const ROUNDS: usize = 6;
        let start = Instant::now();
        for _ in 0..ROUNDS {
            let rest = moment.saturating_sub(start.elapsed());
            // The kill falls into a request as often as between two.
            if tokio::time::timeout(rest, self.round(server))
                .await
                .is_err()
            {
                return;
            }
        }
        server.wait(moment.saturating_sub(start.elapsed())).await;
    }

    /// Load until the process has ended by itself; whether it did in time.
    pub(crate) async fn until_it_dies(&mut self, server: &mut Server, patience: Duration) -> bool {
        let start = Instant::now();
        while start.elapsed() < patience {
            if server.has_ended() {
                return true;
            }
            self.round(server).await;
            // Once there is enough to do, it is time that has to pass.
            if self.sent > 200 {
                tokio::time::timeout(Duration::from_millis(100), server.wait(patience))
                    .await
                    .unwrap_or_default();
            }
        }
        server.has_ended()
    }

    /// Sends again what was never answered.
    pub(crate) async fn resend(&mut self, server: &Server) {
        let events: Vec<Value> = self.unanswered.values().cloned().collect();
        for chunk in events.chunks(100) {
            self.send(server, chunk.to_vec()).await;
        }
        assert!(
            self.unanswered.is_empty(),
            "a healthy server refused events"
        );
    }

    async fn round(&mut self, server: &Server) {
        let size = 1 + self.dice(4);
        let mut events: Vec<Value> = (0..size)
            .map(|_| {
                let kind = ["plain", "plain", "keyed", "steps"][self.dice.place(4)];
                self.event(kind)
            })
            .collect();
        // Something that may have been accepted comes again.
        events.extend(self.unanswered.values().take(3).cloned());
        self.send(server, events).await;
    }

    fn event(&mut self, kind: &str) -> Value {
        self.sent += 1;
        let key = self.dice(3);
        json!({
            "id": format!("sweep-{:06}", self.sent),
            "topic": format!("sweep.{kind}"),
            "body": {"number": self.sent, "key": format!("k{key}")},
        })
    }

    async fn send(&mut self, server: &Server, events: Vec<Value>) {
        for event in &events {
            self.unanswered.insert(id_of(event), event.clone());
        }
        let answer = server
            .client
            .post(format!("{}/api/v1/events", server.url))
            .json(&events)
            .send()
            .await;
        let Ok(answer) = answer else { return };
        if answer.status() != 202 {
            return;
        }
        // The promise is the status line: it is kept even when the rest of
        // the answer is lost.
        for event in events {
            self.unanswered.remove(&id_of(&event));
            self.accepted.insert(id_of(&event), event);
        }
    }
}

fn id_of(event: &Value) -> String {
    event["id"].as_str().unwrap_or_default().to_owned()
}
