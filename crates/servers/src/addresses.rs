//! The addresses of the servers of one supervisor.

use std::fmt;

use crate::{Which, redis::MASTER_NAME};

/// The addresses of running servers, passwords included.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Addresses {
    single: Vec<(Which, String)>,
    sentinels: Option<String>,
    cluster: Option<String>,
}

impl Addresses {
    pub(crate) fn new(single: Vec<(Which, String)>) -> Addresses {
        let sentinels = joined(&single, "redis-sentinel", |it| {
            matches!(it, Which::Sentinel(_))
        });
        let sentinels = sentinels.map(|(url, password)| {
            format!("{url}&sentinelServiceName={MASTER_NAME}&sentinelPassword={password}")
        });
        let cluster = joined(&single, "redis-cluster", |it| {
            matches!(it, Which::ClusterNode(_))
        });
        Addresses {
            sentinels,
            cluster: cluster.map(|(url, _)| url),
            single,
        }
    }

    /// The address of one server, if there is one. It stays when the server is started again.
    pub fn of(&self, which: Which) -> Option<&str> {
        let found = self.single.iter().find(|(it, _)| *it == which);
        found.map(|(_, url)| url.as_str())
    }

    /// The address by which the sentinels say who is the primary.
    pub fn sentinels(&self) -> Option<&str> {
        self.sentinels.as_deref()
    }

    /// The address of the cluster, with all its nodes.
    pub fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }
}

/// The names of the servers alone.
impl fmt::Debug for Addresses {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.single.iter().map(|(which, _)| which);
        out.debug_list().entries(names).finish()
    }
}

/// One address of several Redis that share a password, and that password:
/// `SCHEME://:PASSWORD@FIRST?node=SECOND&node=THIRD`.
fn joined(
    single: &[(Which, String)],
    scheme: &str,
    is_wanted: impl Fn(Which) -> bool,
) -> Option<(String, String)> {
    let wanted = single.iter().filter(|(which, _)| is_wanted(*which));
    let mut nodes = wanted.filter_map(|(_, url)| url.strip_prefix("redis://:")?.split_once('@'));
    let (password, first) = nodes.next()?;
    let rest: Vec<String> = nodes.map(|(_, node)| format!("node={node}")).collect();
    let url = format!("{scheme}://:{password}@{first}?{}", rest.join("&"));
    Some((url, password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_servers_have_one_address() {
        let single = |which, port| (which, format!("redis://:secret@127.0.0.1:{port}"));
        let addresses = Addresses::new(vec![
            single(Which::Redis, 1),
            single(Which::Sentinel(0), 2),
            single(Which::Sentinel(1), 3),
            single(Which::Sentinel(2), 4),
            single(Which::ClusterNode(0), 5),
            single(Which::ClusterNode(1), 6),
        ]);
        assert_eq!(
            addresses.sentinels(),
            Some(
                "redis-sentinel://:secret@127.0.0.1:2?node=127.0.0.1:3&node=127.0.0.1:4\
                 &sentinelServiceName=ruleiq&sentinelPassword=secret"
            )
        );
        assert_eq!(
            addresses.cluster(),
            Some("redis-cluster://:secret@127.0.0.1:5?node=127.0.0.1:6")
        );
        let third = addresses.of(Which::Sentinel(2));
        assert_eq!(third, Some("redis://:secret@127.0.0.1:4"));
        assert_eq!(addresses.of(Which::Postgres), None);
        assert!(!format!("{addresses:?}").contains("secret"));
    }

    #[test]
    fn what_is_not_there_has_no_address() {
        let addresses = Addresses::new(Vec::new());
        assert_eq!(addresses, Addresses::default());
        assert_eq!((addresses.sentinels(), addresses.cluster()), (None, None));
    }
}
