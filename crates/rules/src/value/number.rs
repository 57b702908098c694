//! Numbers: compared by the exact value of their text, computed as Python does.
//!
//! Integers are exact to 128 bits in arithmetic, and of any size in comparisons;
//! what does not fit is refused, never rounded. What has a fraction or an
//! exponent is computed with as a double.

use std::{
    borrow::Cow,
    cmp::Ordering,
    fmt,
    hash::{Hash as _, Hasher},
    rc::Rc,
};

use serde_json::Number;

use super::{Trouble, failed};

/// A number.
#[derive(Debug, Clone)]
pub(crate) enum Num<'a> {
    Json(&'a Number),
    Shared(Rc<Number>),
    Int(i128),
    /// Always finite.
    Float(f64),
}

/// What arithmetic works on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Operand {
    Int(i128),
    Float(f64),
}

impl Operand {
    pub(crate) fn as_f64(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Float(value) => value,
        }
    }
}

impl<'a> Num<'a> {
    /// A double that is not finite is no number.
    pub(crate) fn float(value: f64) -> Result<Self, Trouble> {
        if value.is_finite() {
            Ok(Self::Float(value))
        } else {
            failed("the result is too large")
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Json(number) => Some(number.as_str()),
            Self::Shared(number) => Some(number.as_str()),
            Self::Int(_) | Self::Float(_) => None,
        }
    }

    pub(crate) fn is_integer(&self) -> bool {
        match self {
            Self::Int(_) => true,
            Self::Float(_) => false,
            Self::Json(_) | Self::Shared(_) => {
                let text = self.text().unwrap_or_default();
                !text.contains(['.', 'e', 'E'])
            }
        }
    }

    /// The integer when it is one and fits.
    pub(crate) fn as_int(&self) -> Option<i128> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Float(_) => None,
            Self::Json(_) | Self::Shared(_) => self.text()?.parse().ok(),
        }
    }

    pub(crate) fn is_zero(&self) -> bool {
        match self {
            Self::Int(value) => *value == 0,
            Self::Float(value) => *value == 0.0,
            Self::Json(_) | Self::Shared(_) => Decimal::parse(self.text().unwrap_or_default())
                .digits
                .is_empty(),
        }
    }

    pub(crate) fn operand(&self) -> Result<Operand, Trouble> {
        match self {
            Self::Int(value) => Ok(Operand::Int(*value)),
            Self::Float(value) => Ok(Operand::Float(*value)),
            Self::Json(_) | Self::Shared(_) => {
                let text = self.text().unwrap_or_default();
                if let Ok(value) = text.parse() {
                    return Ok(Operand::Int(value));
                }
                let value = text.parse::<f64>().unwrap_or(f64::INFINITY);
                if self.is_integer() || !value.is_finite() {
                    return failed("a number is too large to compute with");
                }
                Ok(Operand::Float(value))
            }
        }
    }

    pub(crate) fn to_json(&self) -> Number {
        match self {
            Self::Json(number) => (*number).clone(),
            Self::Shared(number) => (**number).clone(),
            Self::Int(value) => {
                Number::from_i128(*value).expect("every integer of 128 bits is a JSON number")
            }
            Self::Float(value) => Number::from_f64(*value).expect("only finite floats are kept"),
        }
    }

    /// What comparing it costs, in steps.
    pub(crate) fn weight(&self) -> usize {
        self.text().map_or(0, str::len) / 64
    }

    /// By value: `1.0` is `1`, and integers of any size are exact.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        if let (Some(left), Some(right)) = (self.as_int(), other.as_int()) {
            return left.cmp(&right);
        }
        if let (Self::Float(left), Self::Float(right)) = (self, other) {
            return left.partial_cmp(right).unwrap_or(Ordering::Equal);
        }
        if let (Some(left), Some(right)) = (self.text(), other.text()) {
            if left == right {
                return Ordering::Equal;
            }
            return Decimal::parse(left).order(&Decimal::parse(right));
        }
        let (left, right) = (self.to_string(), other.to_string());
        Decimal::parse(&left).order(&Decimal::parse(&right))
    }
}

impl Num<'_> {
    /// Equal for numbers that [`Self::order`] finds equal.
    pub(crate) fn hash_value(&self, hasher: &mut impl Hasher) {
        let text = match (self.as_int(), self.text()) {
            (Some(int), _) => return int.hash(hasher),
            (None, Some(text)) => Cow::Borrowed(text),
            (None, None) => Cow::Owned(self.to_string()),
        };
        let decimal = Decimal::parse(&text);
        match decimal.as_int() {
            Some(int) => int.hash(hasher),
            None => {
                (decimal.is_negative, decimal.magnitude).hash(hasher);
                decimal.digits.hash(hasher);
            }
        }
    }
}

impl fmt::Display for Num<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(number) => f.write_str(number.as_str()),
            Self::Shared(number) => f.write_str(number.as_str()),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(_) => f.write_str(self.to_json().as_str()),
        }
    }
}

/// `0.DIGITS × 10^magnitude`; zero has no digits.
struct Decimal {
    is_negative: bool,
    digits: Vec<u8>,
    magnitude: i64,
}

/// Exponents beyond this are taken for this; nobody means them.
const LARGEST_EXPONENT: i64 = 1_000_000_000_000_000;

/// Decimal digits of the largest integer of 128 bits.
const MOST_DIGITS: usize = 39;

impl Decimal {
    /// Reads the text of a JSON number.
    fn parse(text: &str) -> Self {
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut magnitude = read_exponent(exponent) + i64::try_from(whole.len()).unwrap_or(0);
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros);
        magnitude -= i64::try_from(zeros).unwrap_or(0);
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            magnitude = 0;
        }
        Self {
            is_negative: is_negative && !digits.is_empty(),
            digits,
            magnitude,
        }
    }

    /// The integer when it is one and fits, as [`Num::as_int`] reads it from the
    /// plain text of the same number.
    fn as_int(&self) -> Option<i128> {
        if self.digits.is_empty() {
            return Some(0);
        }
        let len = usize::try_from(self.magnitude).ok()?;
        if len < self.digits.len() || len > MOST_DIGITS {
            return None;
        }
        let mut text = String::with_capacity(len + 1);
        text.push_str(if self.is_negative { "-" } else { "" });
        text.push_str(std::str::from_utf8(&self.digits).ok()?);
        text.extend(std::iter::repeat_n('0', len - self.digits.len()));
        text.parse().ok()
    }

    fn order(&self, other: &Self) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self.order_absolute(other),
            (true, true) => other.order_absolute(self),
        }
    }

    fn order_absolute(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self
                .magnitude
                .cmp(&other.magnitude)
                .then_with(|| self.digits.cmp(&other.digits)),
        }
    }
}

fn read_exponent(text: &str) -> i64 {
    let is_negative = text.starts_with('-');
    let digits = text.trim_start_matches(['+', '-']).trim_start_matches('0');
    let size = if digits.len() > 15 {
        LARGEST_EXPONENT
    } else {
        digits.parse().unwrap_or(0)
    };
    if is_negative { -size } else { size }
}
