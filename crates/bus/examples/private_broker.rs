//! Starts a RabbitMQ of its own for whoever measures or tries something out,
//! prints the URL of an empty virtual host, and ends it when its own standard
//! input ends.

use std::{
    error::Error,
    io::{self, Write},
};

use testkit::broker::{Broker, BrokerOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = BrokerOptions::default();
    let broker = Broker::start(&options)
        .await
        .ok_or("RabbitMQ is not installed")?;
    let vhost = broker.vhost("bench").await;
    writeln!(io::stdout(), "{}", vhost.url())?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
