//! How deep the stack has ever been: the runtime paints it at the start, and what was used lost its paint.

/// The stack, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct StackUse {
    /// All there is.
    pub(crate) size: usize,
    /// The most that was ever used.
    pub(crate) used: usize,
}

#[cfg(feature = "restart")]
pub(crate) fn stack_use() -> StackUse {
    use cortex_m_rt::STACK_PAINT_VALUE;

    unsafe extern "C" {
        static _stack_start: u32;
        static _stack_end: u32;
    }
    // It grows down: what the linker calls its start is the higher address.
    let (top, bottom) = (&raw const _stack_start, &raw const _stack_end);
    let words = (top as usize - bottom as usize) / size_of::<u32>();
    let is_painted = |at: usize| {
        // SAFETY: `at` is below `words`, so the word lies between the linker's two symbols, in RAM that the runtime painted before
        // `main`. It is only read, and by volatile access, since running code may write there.
        unsafe { bottom.add(at).read_volatile() == STACK_PAINT_VALUE }
    };
    let untouched = (0..words).take_while(|&at| is_painted(at)).count();
    StackUse { size: words * size_of::<u32>(), used: (words - untouched) * size_of::<u32>() }
}

/// Nothing is painted where no board's feature is on.
#[cfg(not(feature = "restart"))]
pub(crate) fn stack_use() -> StackUse {
    StackUse { size: 0, used: 0 }
}
