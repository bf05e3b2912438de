//! The driver's own connections run statements as they are: no log, no deadline, no cancelling.

use std::{future::Future, pin::pin};

use bytes::Bytes;
use futures_util::{SinkExt as _, Stream, StreamExt as _, TryStreamExt as _};
use tokio_postgres::{Client, Row, Transaction, types::ToSql};

use crate::{Error, Queries, Read, Sql, Statement};

/// The two driver types have the same methods and no trait in common that others may name.
macro_rules! implement {
    ($connection:ty) => {
        impl Read for $connection {
            fn prepare(&self, sql: &str) -> impl Future<Output = Result<Statement, Error>> + Send {
                async { Ok(Statement::new(sql, <$connection>::prepare(self, sql).await?)) }
            }

            fn query(
                &self,
                sql: &(impl Sql + ?Sized),
                params: &[&(dyn ToSql + Sync)],
            ) -> impl Future<Output = Result<Vec<Row>, Error>> + Send {
                async {
                    Ok(match sql.prepared() {
                        Some(it) => <$connection>::query(self, it, params).await?,
                        None => <$connection>::query(self, sql.text(), params).await?,
                    })
                }
            }
        }

        impl Queries for $connection {
            fn execute(
                &self,
                sql: &(impl Sql + ?Sized),
                params: &[&(dyn ToSql + Sync)],
            ) -> impl Future<Output = Result<u64, Error>> + Send {
                async {
                    Ok(match sql.prepared() {
                        Some(it) => <$connection>::execute(self, it, params).await?,
                        None => <$connection>::execute(self, sql.text(), params).await?,
                    })
                }
            }

            fn batch_execute(&self, sql: &str) -> impl Future<Output = Result<(), Error>> + Send {
                async { Ok(<$connection>::batch_execute(self, sql).await?) }
            }

            fn copy_in(
                &self,
                sql: &str,
                chunks: impl Stream<Item = Bytes> + Send,
            ) -> impl Future<Output = Result<u64, Error>> + Send {
                async move {
                    let mut sink = pin!(<$connection>::copy_in::<_, Bytes>(self, sql).await?);
                    let mut chunks = pin!(chunks);
                    while let Some(chunk) = chunks.next().await {
                        sink.feed(chunk).await?;
                    }
                    Ok(sink.finish().await?)
                }
            }

            fn stream(
                &self,
                sql: &(impl Sql + ?Sized),
                params: &[&(dyn ToSql + Sync)],
            ) -> impl Future<Output = Result<impl Stream<Item = Result<Row, Error>> + Send, Error>> + Send
            {
                async {
                    let params = params.iter().map(|it| *it as &dyn ToSql);
                    let rows = match sql.prepared() {
                        Some(it) => <$connection>::query_raw(self, it, params).await?,
                        None => <$connection>::query_raw(self, sql.text(), params).await?,
                    };
                    Ok(rows.map_err(Error::Database))
                }
            }
        }
    };
}

implement!(Client);
implement!(Transaction<'_>);
