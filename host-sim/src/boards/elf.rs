//! What an image holds, as the linker laid it out.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use object::elf::{FileHeader32, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, File, Object, ObjectSection, ObjectSymbol, SectionFlags, elf};

/// An image, read.
pub(super) struct Image {
    /// What is written to the chip's memory.
    pub(super) segments: Vec<Segment>,
    sections: Vec<Section>,
    symbols: Vec<(String, u64)>,
}

/// A run of bytes that a probe writes.
pub(super) struct Segment {
    /// Where it is written.
    #[cfg_attr(not(feature = "probe-rs"), expect(dead_code, reason = "asked for by the check against the chip"))]
    pub(super) load_at: u64,
    pub(super) bytes: Vec<u8>,
}

/// A section that takes memory while the program runs.
struct Section {
    name: String,
    len: u64,
    is_writable: bool,
    /// It has bytes in the image: flash pays for them.
    is_stored: bool,
}

impl Image {
    /// Reads an image.
    ///
    /// # Errors
    /// If the file is no ELF for a 32-bit chip.
    pub(super) fn read(path: &Path) -> Result<Image> {
        let bytes = fs::read(path).with_context(|| format!("cannot read the image {}", path.display()))?;
        Image::parse(&bytes).with_context(|| format!("{} is no image for a 32-bit chip", path.display()))
    }

    fn parse(bytes: &[u8]) -> Result<Image> {
        let header = FileHeader32::<Endianness>::parse(bytes)?;
        let endian = header.endian()?;
        let mut segments = Vec::new();
        for program in header.program_headers(endian, bytes)? {
            if program.p_type(endian) == PT_LOAD && program.p_filesz(endian) > 0 {
                let data = program.data(endian, bytes).ok().context("a segment lies outside the file")?;
                segments.push(Segment { load_at: program.p_paddr(endian).into(), bytes: data.to_vec() });
            }
        }
        let file = File::parse(bytes)?;
        let sections = file.sections().filter_map(|section| {
            let SectionFlags::Elf { sh_flags } = section.flags() else { return None };
            let is = |flag: u32| sh_flags & u64::from(flag) != 0;
            let is_stored = section.file_range().is_some_and(|(_, len)| len > 0);
            let name = section.name().unwrap_or_default().to_owned();
            let section = Section { name, len: section.size(), is_writable: is(elf::SHF_WRITE), is_stored };
            is(elf::SHF_ALLOC).then_some(section)
        });
        let symbols = file.symbols().filter_map(|symbol| Some((symbol.name().ok()?.to_owned(), symbol.address())));
        Ok(Image { segments, sections: sections.collect(), symbols: symbols.collect() })
    }

    /// Bytes of flash: code, constants, and what RAM is filled from at the start.
    pub(super) fn flash(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes.len() as u64).sum()
    }

    /// Bytes of flash without the table of interrupt vectors, whose length is the chip's.
    pub(super) fn flash_without_vectors(&self) -> u64 {
        let vectors = self.sections.iter().filter(|section| section.name == ".vector_table");
        self.flash() - vectors.map(|section| section.len).sum::<u64>()
    }

    /// Bytes of RAM, the stack aside.
    pub(super) fn ram(&self) -> u64 {
        let is_in_ram = |section: &&Section| section.is_writable || !section.is_stored;
        self.sections.iter().filter(is_in_ram).map(|section| section.len).sum()
    }

    /// Bytes left for the stack.
    pub(super) fn stack(&self) -> Option<u64> {
        self.symbol("_stack_start")?.checked_sub(self.symbol("_stack_end")?)
    }

    /// A symbol's address.
    pub(super) fn symbol(&self, name: &str) -> Option<u64> {
        self.symbols.iter().find(|(found, _)| found == name).map(|(_, address)| *address)
    }
}
