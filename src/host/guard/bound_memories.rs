//! Bounds the memories and tables of a plugin's module.

use std::convert::Infallible;

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{MemoryType, TableType};

use super::limits::{MEMORY_MAX_PAGES, TABLE_MAX_ENTRIES};

/// A re-encoder that bounds memories and tables.
pub(super) struct Bounded;

impl Reencode for Bounded {
    type Error = Infallible;

    fn memory_type(&mut self, ty: wasmparser::MemoryType) -> Result<MemoryType, reencode::Error> {
        let maximum = ty.maximum.unwrap_or(MEMORY_MAX_PAGES).min(MEMORY_MAX_PAGES);
        let maximum = Some(maximum);
        Ok(reencode::utils::memory_type(
            self,
            wasmparser::MemoryType { maximum, ..ty },
        ))
    }

    fn table_type(&mut self, ty: wasmparser::TableType) -> Result<TableType, reencode::Error> {
        let maximum = ty
            .maximum
            .unwrap_or(TABLE_MAX_ENTRIES)
            .min(TABLE_MAX_ENTRIES);
        let maximum = Some(maximum);
        reencode::utils::table_type(self, wasmparser::TableType { maximum, ..ty })
    }
}
