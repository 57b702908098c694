//! What tests of other crates share. Development only.

pub mod corpus;
