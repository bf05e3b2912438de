//! Addresses of servers: read from the environment, and changed part by part.

use std::env;

use url::Url;

use crate::error::SetupError;

/// The address in an environment variable.
pub(crate) fn of_variable(variable: &'static str) -> Result<Url, SetupError> {
    let text = env::var(variable).unwrap_or_default();
    if text.is_empty() {
        return Err(SetupError::Unset { variable });
    }
    Url::parse(&text).map_err(|_| SetupError::Address { variable })
}

/// The same server, another database.
pub(crate) fn with_database(server: &Url, name: &str) -> Url {
    let mut url = server.clone();
    url.set_path(name);
    url
}

/// The same place, as somebody else.
pub(crate) fn with_login(url: &Url, user: &str, password: &str) -> Url {
    let mut url = url.clone();
    // Either fails for addresses without a host alone; through a socket's folder the address has
    // an empty one and no place for a login.
    let set = url
        .set_username(user)
        .and_then(|()| url.set_password(Some(password)));
    if set.is_err() {
        url.query_pairs_mut()
            .append_pair("user", user)
            .append_pair("password", password);
    }
    url
}

/// `host:port`, without secrets.
pub(crate) fn host_and_port(url: &Url) -> Option<String> {
    let default = match url.scheme() {
        "postgres" | "postgresql" => 5432,
        "redis" | "rediss" => 6379,
        _ => return None,
    };
    let host = url.host_str().filter(|host| !host.is_empty())?;
    Some(format!("{host}:{}", url.port().unwrap_or(default)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_changed_part_by_part() {
        let server = Url::parse("postgres://root:s%2Fcret@db.example/postgres?sslmode=disable");
        let server = server.unwrap();
        let database = with_database(&server, "other");
        assert_eq!(
            database.as_str(),
            "postgres://root:s%2Fcret@db.example/other?sslmode=disable"
        );
        assert_eq!(
            with_login(&database, "app", "p@ss").as_str(),
            "postgres://app:p%40ss@db.example/other?sslmode=disable"
        );
        let socket = Url::parse("postgres:///postgres?host=%2Frun%2Fpg").unwrap();
        assert_eq!(
            with_login(&socket, "app", "x").as_str(),
            "postgres:///postgres?host=%2Frun%2Fpg&user=app&password=x"
        );
    }

    #[test]
    fn the_place_of_a_server_is_its_host_and_port() {
        for (url, expected) in [
            ("postgres://u:p@127.0.0.1:54/x", Some("127.0.0.1:54")),
            ("postgresql://db.example/x", Some("db.example:5432")),
            ("postgres://u@[::1]/x", Some("[::1]:5432")),
            ("redis://:p@127.0.0.1", Some("127.0.0.1:6379")),
            ("postgres:///x?host=/run", None),
            ("http://example.com", None),
        ] {
            let found = host_and_port(&Url::parse(url).unwrap());
            assert_eq!(found.as_deref(), expected, "{url}");
        }
    }
}
