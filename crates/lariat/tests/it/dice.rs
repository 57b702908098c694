//! Chance that a seed repeats.

/// Xorshift: the same seed rolls the same numbers.
#[derive(Debug)]
pub(crate) struct Dice {
    state: u64,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed | 1 }
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % sides
    }

    /// A place below `sides`.
    pub(crate) fn place(&mut self, sides: usize) -> usize {
        let sides = u64::try_from(sides).expect("a small number");
        usize::try_from(self.roll(sides)).expect("a small number")
    }
}
