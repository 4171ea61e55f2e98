//! The parser: it takes any bytes, and what is written is what is read.

use proptest::prelude::*;
use tcp_reset_core::{ChecksumBy, Control, Header, Options, ParseError, Segment, Seq};

use crate::draws::{a, b, cases, checksum_by, family, mend};
use crate::support::packet::{CONTROLS, tcp_checksum};

fn header() -> impl Strategy<Value = Header> {
    let numbers = (any::<u32>(), any::<u32>(), any::<u16>(), any::<u16>());
    let ports = (any::<u16>(), any::<u16>());
    (ports, numbers, 0_u8..64, any::<[Option<u16>; 2]>()).prop_map(
        |((src_port, dst_port), (seq, ack, wnd, urgent), control, [mss, user_timeout])| {
            let control = Control::from_bits_truncate(control);
            let ack = if control.contains(Control::ACK) { ack } else { 0 };
            let mut options = Options::NONE;
            (options.mss, options.user_timeout) = (mss, user_timeout);
            Header { src_port, dst_port, seq: Seq(seq), ack: Seq(ack), control, wnd, urgent, options }
        },
    )
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn parse_takes_any_bytes(
        family in family(),
        mut bytes in prop::collection::vec(any::<u8>(), 0..140),
        mended in any::<bool>(),
        checksum in checksum_by(),
    ) {
        let (a, b) = (a(family), b(family));
        let is_mended = mended && bytes.len() >= 20;
        if is_mended {
            mend(&mut bytes, b, a);
        }
        match Segment::parse(&bytes, b, a, checksum) {
            Ok(seg) => {
                let offset = usize::from(bytes[12] >> 4) * 4;
                prop_assert_eq!(&bytes[offset..], seg.payload);
                prop_assert_eq!(bytes[13] & if cfg!(feature = "ecn") { 0xff } else { CONTROLS }, seg.header.control.bits());
                let controls = u32::from(seg.has(Control::SYN)) + u32::from(seg.has(Control::FIN));
                prop_assert_eq!(seg.len(), seg.payload.len() as u32 + controls);
            }
            Err(error) => {
                prop_assert!(!is_mended, "{error:?}");
                prop_assert!(error == ParseError::Malformed || checksum == ChecksumBy::Software);
            }
        }
    }

    #[test]
    fn emit_then_parse_is_identity_and_writes_every_byte(
        family in family(),
        header in header(),
        payload in prop::collection::vec(any::<u8>(), 0..1_500),
        checksum in checksum_by(),
        spare in 0_usize..8,
    ) {
        let (a, b) = (a(family), b(family));
        let seg = Segment { header, payload: &payload };
        let mut one = vec![0xaa; header.wire_len() + payload.len() + spare];
        let mut other = vec![0x55; one.len()];
        let len = seg.emit(&mut one, a, b, checksum).unwrap();
        prop_assert_eq!(seg.emit(&mut other, a, b, checksum), Ok(len));
        prop_assert_eq!(&one[..len], &other[..len]);
        prop_assert!(one[len..].iter().all(|&byte| byte == 0xaa), "beyond the end");
        prop_assert_eq!(Segment::parse(&one[..len], a, b, checksum), Ok(seg));
        if checksum == ChecksumBy::Software {
            prop_assert_eq!(tcp_checksum(a, b, &one[..len]), 0);
        }
        for short in 0..len.min(30) {
            let mut buf = vec![0; len - 1 - short];
            prop_assert!(seg.emit(&mut buf, a, b, checksum).is_err());
        }
    }

    #[test]
    fn one_wrong_byte_never_passes_the_checksum(
        family in family(),
        header in header(),
        payload in prop::collection::vec(any::<u8>(), 0..60),
        at in any::<prop::sample::Index>(),
        flip in 1_u8..=255,
    ) {
        let (a, b) = (a(family), b(family));
        let seg = Segment { header, payload: &payload };
        let mut bytes = vec![0; header.wire_len() + payload.len()];
        seg.emit(&mut bytes, a, b, ChecksumBy::Software).unwrap();
        bytes[at.index(header.wire_len() + payload.len())] ^= flip;
        prop_assert!(Segment::parse(&bytes, a, b, ChecksumBy::Software).is_err());
    }
}
