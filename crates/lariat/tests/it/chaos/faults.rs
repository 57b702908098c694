//! The faults, one after the other, under a load that does not stop.
//!
//! A fault begins when everything flows, lasts as long as the scale says, and
//! is over when what was broken works: from then on the time counts.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use testkit::process::wait_until;

use super::{Chaos, NEVER, fleet::QUEUE, journal::boot_seconds};

/// What no disk has free, and what every disk has.
pub(crate) const TOO_MUCH: &str = "900000GB";
pub(crate) const LITTLE: &str = "50MB";

impl Chaos {
    pub(crate) async fn every_fault(&mut self) {
        let began = boot_seconds();
        self.flows("none: the load begins", began).await;
        self.broker_killed().await;
        self.broker_restarted().await;
        self.one_road_dark().await;
        self.all_roads_dark().await;
        self.connections_forgotten().await;
        self.credentials_revoked().await;
        self.disk_alarm().await;
        self.killed_during_an_alarm().await;
        self.one_killed().await;
        self.all_killed().await;
        self.one_stopped().await;
        self.queue_deleted().await;
    }

    async fn broker_killed(&mut self) {
        let began = self.under_load().await;
        self.broker.stop_hard().await;
        self.broker.start_again().await;
        self.flows("the broker is killed and started", began).await;
    }

    async fn broker_restarted(&mut self) {
        let began = self.under_load().await;
        self.broker.ctl(&["stop_app"]).await;
        self.broker.ctl(&["start_app"]).await;
        self.flows("the broker is restarted", began).await;
    }

    /// Nothing passes in either direction, and nobody is told.
    async fn one_road_dark(&mut self) {
        let began = self.under_load().await;
        self.instances[0].proxy.black_hole();
        lasts("the road of one instance is dark", self.scale.dark).await;
        self.instances[0].proxy.restore();
        self.flows("one instance hears and says nothing", began)
            .await;
    }

    async fn all_roads_dark(&mut self) {
        let began = self.under_load().await;
        for instance in &self.instances {
            instance.proxy.black_hole();
        }
        lasts("the roads of all are dark", self.scale.all_dark).await;
        for instance in &self.instances {
            instance.proxy.restore();
        }
        self.flows("no instance hears or says anything", began)
            .await;
    }

    /// Half-open for good: only the instances' own heartbeats can find out.
    async fn connections_forgotten(&mut self) {
        let began = self.under_load().await;
        for instance in &self.instances {
            instance.proxy.forget();
        }
        self.flows("a firewall forgets all connections", began)
            .await;
    }

    async fn credentials_revoked(&mut self) {
        let began = self.under_load().await;
        let admin = self.broker.admin();
        admin.put_user(&self.user, "another password").await;
        wait_until("nobody of the fleet is connected", NEVER, async || {
            let mut is_any = false;
            for connection in admin.connections().await {
                if connection.user == self.user {
                    is_any = true;
                    admin.close(&connection).await;
                }
            }
            !is_any
        })
        .await;
        lasts("the credentials are revoked", self.scale.revoked).await;
        admin.put_user(&self.user, &self.user).await;
        self.flows("the credentials are revoked", began).await;
    }

    /// Publishers are blocked; consumers must go on, and what is routed waits.
    async fn disk_alarm(&mut self) {
        // What is still asked about would have to wait for the end of the alarm.
        self.calm().await;
        let began = self.under_load().await;
        self.raise_alarm().await;
        self.go_on_under_alarm().await;
        self.end_alarm().await;
        self.flows("the broker's disk is full", began).await;
    }

    /// Then instances have something to ask each other while nobody may
    /// publish. What the killed one had waits for the end of the alarm, and
    /// nothing else does.
    async fn killed_during_an_alarm(&mut self) {
        let began = self.under_load().await;
        self.raise_alarm().await;
        self.instances[1].kill().await;
        self.instances[1].start().await;
        lasts("the alarm", self.scale.alarm).await;
        self.vhost
            .wait_queue(QUEUE, "nothing is left in the queue", NEVER, |queue| {
                queue.ready == 0
            })
            .await;
        self.end_alarm().await;
        self.flows("one is killed while the disk is full", began)
            .await;
    }

    async fn raise_alarm(&self) {
        self.broker.ctl(&["set_disk_free_limit", TOO_MUCH]).await;
    }

    async fn end_alarm(&self) {
        self.broker.ctl(&["set_disk_free_limit", LITTLE]).await;
    }

    /// What the broker has is worked off, though nothing can be published.
    async fn go_on_under_alarm(&self) {
        lasts("the alarm", self.scale.alarm).await;
        self.vhost
            .wait_queue(
                QUEUE,
                "the queue is worked off during the alarm",
                NEVER,
                |queue| queue.ready == 0 && queue.unacknowledged == 0,
            )
            .await;
    }

    async fn one_killed(&mut self) {
        let began = self.under_load().await;
        self.instances[2].kill().await;
        self.instances[2].start().await;
        self.flows("an instance is killed and started", began).await;
    }

    async fn all_killed(&mut self) {
        let began = self.under_load().await;
        for instance in &mut self.instances {
            instance.kill().await;
        }
        for instance in &mut self.instances {
            instance.start().await;
        }
        self.flows("all are killed and started", began).await;
    }

    async fn one_stopped(&mut self) {
        let began = self.under_load().await;
        self.instances[0].signal(Signal::SIGSTOP);
        lasts("an instance is stopped", self.scale.stopped).await;
        self.instances[0].signal(Signal::SIGCONT);
        self.flows("an instance is stopped past its lease", began)
            .await;
    }

    /// With what is in it the broker loses it, and nobody could do anything
    /// about that: so it is empty. What is published while there is none comes
    /// back to the publisher and does not count as accepted.
    async fn queue_deleted(&mut self) {
        self.calm().await;
        let began = boot_seconds();
        let admin = self.broker.admin();
        admin.delete_queue(self.vhost.name(), QUEUE).await;
        self.flows("the queue is deleted", began).await;
    }

    /// Lets the fleet work off what there is.
    async fn calm(&self) {
        self.publisher.hold();
        // What was being published then arrives, and is counted.
        lasts("the publisher has been quiet", Duration::from_secs(2)).await;
        self.vhost
            .wait_queue(QUEUE, "the queue is empty", NEVER, |queue| {
                queue.ready == 0 && queue.unacknowledged == 0
            })
            .await;
    }

    /// Waits until every instance runs jobs; when the fault begins.
    pub(crate) async fn under_load(&mut self) -> f64 {
        self.load();
        for instance in &self.instances {
            let name = format!("instance {} runs two jobs", instance.name);
            wait_until(&name, NEVER, async || instance.running().await >= 2).await;
        }
        boot_seconds()
    }
}

/// A fault lasts for a time: that is what it is.
pub(crate) async fn lasts(what: &str, duration: Duration) {
    let start = Instant::now();
    let name = format!("{what} for {duration:?}");
    wait_until(&name, duration + NEVER, async || {
        start.elapsed() >= duration
    })
    .await;
}
