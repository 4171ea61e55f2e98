//! The items, their targets, and the bounds that the present state keeps.

/// A kind of work that the measured programs do.
#[derive(Debug)]
pub(crate) struct Item {
    /// Name in the programs' output.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Unit that the cost is divided by.
    pub(crate) unit: &'static str,
    /// The cost that this stack's is compared with.
    pub(crate) base: Base,
    /// Target for the ratio to `base`.
    pub(crate) target: Option<f64>,
    /// Bounds on the ratio of instructions: the present state and some 3 % for the compiler. In this order: IPv4 in the build for it alone,
    /// IPv4 in the build for both, IPv6.
    pub(crate) bounds: [f64; 3],
}

/// A cost to compare with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Base {
    /// smoltcp's for the same work.
    Theirs,
    /// This stack's own for another item.
    Own(&'static str),
}

/// All items, in the programs' order.
pub(crate) static ITEMS: [Item; 8] = [
    Item {
        name: "syn-to-closed-port",
        title: "SYN to a closed port, RST",
        unit: "SYN",
        base: Base::Theirs,
        target: Some(0.80),
        bounds: [1.07, 0.97, 0.99],
    },
    Item {
        name: "pure-ack",
        title: "pure ACK on one connection",
        unit: "ACK",
        base: Base::Theirs,
        target: Some(0.75),
        bounds: [0.77, 0.73, 0.81],
    },
    Item {
        name: "pure-ack-1024",
        title: "pure ACK, 1,024 connections in turn",
        unit: "ACK",
        base: Base::Own("pure-ack"),
        target: Some(1.20),
        bounds: [1.15, 1.15, 1.14],
    },
    Item {
        name: "bulk",
        title: "bulk, both ends",
        unit: "full segment of data",
        base: Base::Theirs,
        target: Some(0.90),
        bounds: [1.13, 1.08, 1.08],
    },
    Item {
        name: "request-response",
        title: "1-byte request and response, both ends",
        unit: "exchange",
        base: Base::Theirs,
        target: Some(1.00),
        bounds: [1.39, 1.27, 1.29],
    },
    Item {
        name: "set-up-and-close",
        title: "set-up and close, both ends",
        unit: "connection",
        base: Base::Theirs,
        target: Some(1.20),
        bounds: [1.36, 1.25, 1.28],
    },
    Item {
        name: "stray-ack",
        title: "stray ACK with one listener, RST",
        unit: "ACK",
        base: Base::Theirs,
        target: None,
        bounds: [1.05, 0.94, 0.97],
    },
    Item {
        name: "stray-ack-250",
        title: "stray ACK with 250 listeners, RST",
        unit: "ACK",
        base: Base::Own("stray-ack"),
        target: Some(1.20),
        bounds: [1.03, 1.03, 1.03],
    },
];
