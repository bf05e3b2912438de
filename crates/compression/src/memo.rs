//! Encoded bodies, kept by what they were made of.

use std::{fmt, future::Future};

use bytes::Bytes;
use quick_cache::{OptionsBuilder, Weighter, sync::Cache};

use crate::Choice;

/// What an entry takes beside its body.
const ENTRY_BYTES: u64 = 128;
/// For the number of entries that there is room for.
const ESTIMATED_ENTRY_BYTES: usize = 4 * 1024;

/// What an encoded body is made of.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Variant {
    /// A hash of the body of at least 128 bits that nobody can make collide: bodies with one hash are one body.
    pub content: u128,
    /// Its size, which tells those apart whose hash is not that of the body any more.
    pub size_bytes: usize,
    /// How it is encoded.
    pub choice: Choice,
}

/// Encoded bodies, bounded by their bytes; those that are asked for least often go first.
///
/// It is for bodies that many get. What one client alone may have does not belong here.
pub struct Memo {
    variants: Cache<Variant, Bytes, VariantWeight>,
}

#[derive(Clone, Debug)]
struct VariantWeight;

impl Memo {
    /// With room for so many bytes. One larger than a part of it is not kept.
    #[allow(
        clippy::missing_panics_doc,
        reason = "all options that are needed are set"
    )]
    pub fn new(max_bytes: usize) -> Memo {
        let options = OptionsBuilder::new()
            .weight_capacity(max_bytes as u64)
            .estimated_items_capacity((max_bytes / ESTIMATED_ENTRY_BYTES).max(1))
            .shards(1)
            .build()
            .expect("all options that are needed are set");
        Memo {
            variants: Cache::with_options(
                options,
                VariantWeight,
                quick_cache::DefaultHashBuilder::default(),
                quick_cache::sync::DefaultLifecycle::default(),
            ),
        }
    }

    /// The body, if it is there.
    pub fn get(&self, variant: Variant) -> Option<Bytes> {
        self.variants.get(&variant)
    }

    /// The body; from `encode` where it is not there, once for all who ask at the same time.
    ///
    /// # Errors
    ///
    /// Those of `encode`. Whoever waited for it encodes for itself, then.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves nothing. If others wait for it, one of them begins its own.
    pub async fn get_or_encode<E>(
        &self,
        variant: Variant,
        encode: impl Future<Output = Result<Bytes, E>>,
    ) -> Result<Bytes, E> {
        // Encoders guess how much room they need, and what is kept should have no more than it takes.
        let encode = async { encode.await.map(|it| Bytes::copy_from_slice(&it)) };
        self.variants.get_or_insert_async(&variant, encode).await
    }

    /// How much it holds, in bytes.
    pub fn bytes(&self) -> u64 {
        self.variants.weight()
    }
}

impl Weighter<Variant, Bytes> for VariantWeight {
    fn weight(&self, _: &Variant, body: &Bytes) -> u64 {
        ENTRY_BYTES + body.len() as u64
    }
}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memo")
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}
