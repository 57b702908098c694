//! Starts a RabbitMQ of its own for whoever measures or tries something out,
//! and prints the URL of an empty virtual host. For each line of its standard
//! input, which names a queue, it waits until the queue is empty, nothing
//! unacknowledged either, and says so. At the end of its input it ends the
//! broker.

use std::{
    error::Error,
    io::{self, BufRead, Write},
    time::Duration,
};

use testkit::broker::{Broker, BrokerOptions, QueueInfo};

/// How long a queue may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = BrokerOptions::default();
    let broker = Broker::start(&options)
        .await
        .ok_or("RabbitMQ is not installed")?;
    let vhost = broker.vhost("bench").await;
    writeln!(io::stdout(), "{}", vhost.url())?;
    for queue in io::stdin().lock().lines() {
        let queue = queue?;
        let is_empty = |info: &QueueInfo| info.ready + info.unacknowledged == 0;
        vhost
            .wait_queue(&queue, "the queue is empty", PATIENCE, is_empty)
            .await;
        writeln!(io::stdout(), "empty")?;
    }
    Ok(())
}
