use super::*;

fn who(name: &str) -> Who {
    Who::Token(name.parse().unwrap())
}

#[test]
fn a_bucket_takes_so_many_and_fills_evenly() {
    let limiter = Limiter::new(Some(Rate {
        count: NonZeroU32::new(3).unwrap(),
        per: Duration::from_secs(30),
    }));
    let start = Instant::now();
    for _ in 0..3 {
        assert_eq!(Ok(()), limiter.take(who("a"), start));
    }
    assert_eq!(Err(Duration::from_secs(10)), limiter.take(who("a"), start));
    assert_eq!(Ok(()), limiter.take(who("b"), start), "each has its own");
    let later = start + Duration::from_secs(10);
    assert_eq!(Ok(()), limiter.take(who("a"), later));
    assert!(limiter.take(who("a"), later).is_err());
    let much_later = start + Duration::from_secs(1_000);
    for _ in 0..3 {
        assert_eq!(Ok(()), limiter.take(who("a"), much_later));
    }
    assert!(limiter.take(who("a"), much_later).is_err());
}

#[test]
fn without_a_rate_nothing_is_counted() {
    let limiter = Limiter::new(None);
    let now = Instant::now();
    for _ in 0..10_000 {
        assert_eq!(Ok(()), limiter.take(who("a"), now));
    }
    assert!(limiter.full_at.lock().unwrap().is_empty());
}

#[test]
fn strangers_do_not_fill_the_memory() {
    let limiter = Limiter::new(Some(Rate {
        count: NonZeroU32::MIN,
        per: Duration::from_secs(3600),
    }));
    let now = Instant::now();
    for number in 0..2 * u32::try_from(MOST_BUCKETS).unwrap() {
        let address = IpAddr::from(number.to_be_bytes());
        assert_eq!(Ok(()), limiter.take(Who::Address(address), now));
        assert!(limiter.full_at.lock().unwrap().len() <= MOST_BUCKETS);
    }
}
