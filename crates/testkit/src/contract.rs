//! What every store must do: one async function for each line of the ports'
//! contracts, under the same name.
//!
//! A suite gets a fresh [`Fixture`] for each test and looks through the ports
//! alone. Time passes by hand, on the clock of the fixture: stores that work
//! on real threads run the same lines as the one in memory. A test in this
//! crate compares the list here with the doc comments of `model::ports`.

pub mod build;
