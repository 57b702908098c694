//! What a step told about its tasks, for tests that look at it.

use std::sync::Mutex;

use async_trait::async_trait;
use model::{clock::Timestamp, ports::task::TaskSink, task::TaskEvent};

/// Keeps task events as they come.
#[derive(Debug, Default)]
pub struct Told(Mutex<Vec<TaskEvent>>);

impl Told {
    pub fn events(&self) -> Vec<TaskEvent> {
        self.0.lock().expect("no holder panics").clone()
    }
}

#[async_trait]
impl TaskSink for Told {
    async fn tell(&self, events: Vec<(Timestamp, TaskEvent)>) {
        let mut told = self.0.lock().expect("no holder panics");
        told.extend(events.into_iter().map(|(_, event)| event));
    }
}
