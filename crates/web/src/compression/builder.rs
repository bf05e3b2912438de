//! The options of the compression middleware.

use std::{sync::Arc, thread, time::Duration};

use ruleiq_compression::{BuildError, CompressionMetrics, Config, Encoder, Memo, Policy};

use super::{CompressionMiddleware, Shared, encoding::Encoding};

/// A few times what it costs to hand a body to another thread and to get it back.
const INLINE_COST: Duration = Duration::from_micros(250);

const STREAMS: usize = 64;

/// The options of a [`CompressionMiddleware`].
#[derive(Clone, Debug)]
#[must_use]
pub struct CompressionBuilder {
    config: Config,
    metrics: CompressionMetrics,
    inline_cost: Duration,
    offload_limit: usize,
    stream_limit: usize,
}

impl CompressionBuilder {
    /// What is compressed, and how hard.
    pub fn config(mut self, config: Config) -> CompressionBuilder {
        self.config = config;
        self
    }

    /// The size in bytes that a body must exceed. Default: 1000.
    pub fn minimum_size(mut self, minimum_size: usize) -> CompressionBuilder {
        self.config.minimum_size = minimum_size;
        self
    }

    /// Paths that are never compressed, each with all below it. Default: `/health`, `/metrics`,
    /// `/docs`.
    pub fn exclude_paths<P: Into<String>>(
        mut self,
        exclude_paths: impl IntoIterator<Item = P>,
    ) -> CompressionBuilder {
        self.config.exclude_paths = exclude_paths.into_iter().map(P::into).collect();
        self
    }

    /// Where it counts. Default: nowhere.
    pub fn metrics(mut self, metrics: CompressionMetrics) -> CompressionBuilder {
        self.metrics = metrics;
        self
    }

    /// The predicted CPU time up to which a body is encoded where it is. Default: 250 µs.
    ///
    /// Too low: small bodies pay for a change of threads. Too high: a large one holds up all other
    /// requests of its worker.
    pub fn inline_cost(mut self, inline_cost: Duration) -> CompressionBuilder {
        self.inline_cost = inline_cost;
        self
    }

    /// How many larger bodies are encoded at once, in the whole process. Default: the number of
    /// cores.
    ///
    /// Too low: large bodies are sent as they are. Too high: encoders take the cores from handlers.
    pub fn offload_limit(mut self, offload_limit: usize) -> CompressionBuilder {
        self.offload_limit = offload_limit;
        self
    }

    /// How many streams are encoded at once, in the whole process. Default: 64.
    ///
    /// Too low: streams are sent as they are. Too high: memory, which each has for as long as it lasts.
    pub fn stream_limit(mut self, stream_limit: usize) -> CompressionBuilder {
        self.stream_limit = stream_limit;
        self
    }

    /// Builds the middleware.
    ///
    /// # Errors
    ///
    /// [`BuildError::Level`] for a level that its coding does not have.
    pub fn build(self) -> Result<CompressionMiddleware, BuildError> {
        let encoder = Encoder::new(&self.config)?;
        Ok(CompressionMiddleware(Arc::new(Shared {
            policy: Policy::new(&self.config),
            memo: (self.config.memo_bytes > 0).then(|| Memo::new(self.config.memo_bytes)),
            encoding: Encoding::new(
                encoder,
                self.inline_cost,
                (self.offload_limit, self.stream_limit),
            ),
            metrics: self.metrics,
        })))
    }
}

impl Default for CompressionBuilder {
    fn default() -> CompressionBuilder {
        CompressionBuilder {
            config: Config::default(),
            metrics: CompressionMetrics::default(),
            inline_cost: INLINE_COST,
            offload_limit: thread::available_parallelism().map_or(1, usize::from),
            stream_limit: STREAMS,
        }
    }
}
