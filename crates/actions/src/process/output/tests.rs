use super::{Capped, TAIL};

#[track_caller]
fn check(cap: u64, pieces: &[&[u8]], expect: &[u8]) {
    let mut capped = Capped::new(cap);
    let mut kept = Vec::new();
    for piece in pieces {
        kept.extend(capped.take(piece));
    }
    kept.extend(capped.finish());
    assert_eq!(
        String::from_utf8_lossy(expect),
        String::from_utf8_lossy(&kept)
    );
    assert_eq!(expect, kept);
}

#[test]
fn what_fits_is_kept_as_it_is() {
    check(10, &[b"0123456789"], b"0123456789");
    check(10, &[b"01234", b"", b"56789"], b"0123456789");
    check(10, &[], b"");
    check(10, &[b"\xff\xc3"], b"\xff\xc3");
}

#[test]
fn what_does_not_fit_is_left_out_of_the_middle() {
    let marked = b"01234\n[lariat: 10 bytes of output left out]\nfghij";
    check(10, &[b"0123456789abcdefghij"], marked);
    check(10, &[b"012", b"3456", b"789abcdef", b"g", b"hij"], marked);
}

#[test]
fn a_character_is_not_cut() {
    check(
        10,
        &["aaaa\u{e4}bcdefghi\u{20ac}jk".as_bytes()],
        "aaaa\n[lariat: 10 bytes of output left out]\n\u{20ac}jk".as_bytes(),
    );
    check(
        8,
        &["aaaa\u{20ac}\u{20ac}\u{20ac}".as_bytes()],
        "aaaa\n[lariat: 6 bytes of output left out]\n\u{20ac}".as_bytes(),
    );
}

#[test]
fn a_cap_of_nothing_keeps_nothing() {
    check(0, &[b"abc"], b"\n[lariat: 3 bytes of output left out]\n");
}

#[test]
fn the_end_of_a_flood_is_kept() {
    let mut capped = Capped::new(1 << 20);
    let mut kept = 0;
    for _ in 0..100 {
        kept += capped.take(&[b'x'; 65_536]).len();
    }
    assert_eq!((1 << 20) - TAIL, kept);
    let rest = capped.finish();
    assert!(rest.starts_with(b"\n[lariat: 5505024 bytes of output left out]\n"));
    assert!(rest.ends_with(&[b'x'; TAIL]));
}
