//! A running server on a port of its own, with a database and a Redis namespace of its own.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use reqwest::{Method, RequestBuilder, Response};
use ruleiq_test_support::{TestDatabase, TestRedis};
use serde_json::{Value, json};

/// The password of every user that a test makes.
pub(crate) const PASSWORD: &str = "correct horse battery";
/// `01234567890123456789012345678901`.
pub(crate) const JWT_KEYS: &str = "test:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE";

/// The program under test. It ends with this value.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    pub(crate) client: reqwest::Client,
    pub(crate) database: TestDatabase,
    _redis: TestRedis,
    log: Arc<Mutex<Vec<Value>>>,
}

/// Somebody who is logged in.
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) token: String,
}

impl Server {
    /// Starts the program on a migrated database with the frameworks.
    pub(crate) async fn start() -> Server {
        Server::start_with(&[]).await
    }

    /// Starts the program with some settings of the test's own.
    pub(crate) async fn start_with(settings: &[(&str, &str)]) -> Server {
        Server::start_on(TestDatabase::migrated().await, settings).await
    }

    /// Starts the program on a migrated database that the test prepared, with settings of its own.
    pub(crate) async fn start_on(database: TestDatabase, settings: &[(&str, &str)]) -> Server {
        let redis = TestRedis::namespace().await;
        run(&database, &["seed", "--scale", "frameworks"]).await;
        let mut environment = environment(&database, &redis);
        environment.extend(
            settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let (child, address, log) = tokio::task::spawn_blocking(move || spawn(&environment))
            .await
            .unwrap();
        Server {
            child,
            address,
            client: reqwest::Client::builder()
                .timeout(Duration::from_secs(30))
                .build()
                .unwrap(),
            database,
            _redis: redis,
            log,
        }
    }

    /// A request to a path of the server.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("http://{}{path}", self.address))
    }

    /// `GET`, as a user.
    pub(crate) async fn get(&self, user: &User, path: &str) -> Response {
        self.request(Method::GET, path)
            .bearer_auth(&user.token)
            .send()
            .await
            .unwrap()
    }

    /// `POST`, as a user.
    pub(crate) async fn post(&self, user: &User, path: &str, body: &Value) -> Response {
        self.request(Method::POST, path)
            .bearer_auth(&user.token)
            .json(body)
            .send()
            .await
            .unwrap()
    }

    /// Registers a user and logs in.
    pub(crate) async fn user(&self, name: &str) -> User {
        let email = format!("{name}@example.com");
        let body = json!({ "email": email, "password": PASSWORD, "full_name": name });
        let response = self
            .request(Method::POST, "/api/v1/auth/register")
            .json(&body)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 201);
        self.login(&email).await
    }

    /// Makes an administrator, as an operator would, and logs in.
    pub(crate) async fn admin(&self) -> User {
        let email = "admin@example.com";
        let arguments = [
            "user", "create", "--admin", "--email", email, "--name", "Admin",
        ];
        run(&self.database, &arguments).await;
        self.login(email).await
    }

    /// Logs in with the password of every user.
    pub(crate) async fn login(&self, email: &str) -> User {
        let tokens = json_of(self.try_login(email, PASSWORD).await, 200).await;
        let token = text(&tokens, "/access_token");
        let claims = claims(&token);
        User {
            id: text(&claims, "/sub"),
            token,
        }
    }

    /// Tries to log in.
    pub(crate) async fn try_login(&self, email: &str, password: &str) -> Response {
        self.request(Method::POST, "/api/v1/auth/login")
            .json(&json!({ "email": email, "password": password }))
            .send()
            .await
            .unwrap()
    }

    /// A business profile of the user.
    pub(crate) async fn profile(&self, user: &User) -> String {
        let body = json!({
            "name": "Acme Ltd", "industry": "Retail", "country": "GB", "employee_count": 12,
        });
        let profile = json_of(
            self.post(user, "/api/v1/business-profiles", &body).await,
            201,
        )
        .await;
        text(&profile, "/id")
    }

    /// The keys of the first frameworks.
    pub(crate) async fn frameworks(&self, user: &User, count: usize) -> Vec<String> {
        let list = json_of(self.get(user, "/api/v1/frameworks").await, 200).await;
        let items = list["items"].as_array().unwrap();
        items.iter().take(count).map(|it| text(it, "/id")).collect()
    }

    /// An assessment of the user over some frameworks.
    pub(crate) async fn assessment(&self, user: &User, frameworks: usize) -> String {
        let body = json!({
            "business_profile_id": self.profile(user).await,
            "framework_ids": self.frameworks(user, frameworks).await,
        });
        let assessment = json_of(self.post(user, "/api/v1/assessments", &body).await, 201).await;
        text(&assessment, "/id")
    }

    /// An assessment with all that belongs to it.
    pub(crate) async fn detail(&self, user: &User, id: &str) -> Value {
        json_of(
            self.get(user, &format!("/api/v1/assessments/{id}")).await,
            200,
        )
        .await
    }

    /// The lines of the log so far, as of when the server listened.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
    }

    /// Sends the program a signal by name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        // The shell's own: minimal systems have no program for it.
        let killed = Command::new("sh")
            .args(["-c", "kill -s $0 $1", name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(killed.success());
    }

    /// Waits until the program has ended, and answers its exit code.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        for _ in 0..600 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server still runs after 30 s");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error says that it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The program, with nothing of this process's settings.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ruleiq-server"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// Runs a subcommand as the owner of the database, and expects it to succeed.
pub(crate) async fn run(database: &TestDatabase, arguments: &[&str]) {
    run_on(database.url(), arguments).await;
}

/// Runs a subcommand in development as the owner of a database, and expects it to succeed. Whom it
/// makes has the password of every user.
pub(crate) async fn run_on(url: &str, arguments: &[&str]) {
    let mut command = program();
    command
        .args(arguments)
        .env("RULEIQ_ENV", "development")
        .env("DATABASE_OWNER_URL", url)
        .env("RULEIQ_DEMO_PASSWORD", PASSWORD)
        .env("RULEIQ_USER_PASSWORD", PASSWORD);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
}

fn environment(database: &TestDatabase, redis: &TestRedis) -> BTreeMap<String, String> {
    [
        ("BIND_ADDRESS", "127.0.0.1:0".to_owned()),
        ("METRICS_BIND_ADDRESS", "127.0.0.1:0".to_owned()),
        ("WORKERS", "2".to_owned()),
        ("DATABASE_URL", database.app_url().to_owned()),
        ("DATABASE_POOL_SIZE", "2".to_owned()),
        ("DATABASE_MAX_OVERFLOW", "2".to_owned()),
        ("DATABASE_POOL_AUTOSIZE", "false".to_owned()),
        ("REDIS_URL", redis.url().to_owned()),
        ("CACHE_PREFIX", redis.prefix().to_owned()),
        // Whatever else this machine has to do.
        ("COMPRESSION_LOAD_AWARE", "false".to_owned()),
        ("JWT_KEYS", JWT_KEYS.to_owned()),
        ("LOGIN_ATTEMPTS_PER_MINUTE", "1000".to_owned()),
        ("DRAIN_DELAY", "0".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// Starts the program and waits until its log names the address. The rest of the log follows.
fn spawn(environment: &BTreeMap<String, String>) -> (Child, String, Arc<Mutex<Vec<Value>>>) {
    let mut child = program()
        .envs(environment)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut seen = Vec::new();
    let address = log.by_ref().find_map(|line| {
        let line = line.unwrap();
        let address = listening_at(&line);
        seen.push(line);
        address
    });
    let address = address.unwrap_or_else(|| panic!("the server ended: {}", seen.join("\n")));
    let entries = Arc::new(Mutex::new(Vec::new()));
    // Read on, or the program would stop at a full pipe; a failed test shows it.
    std::thread::spawn({
        let entries = Arc::clone(&entries);
        move || {
            for line in log.map_while(Result::ok) {
                eprintln!("{line}");
                let entry = serde_json::from_str(&line).unwrap_or(Value::String(line));
                entries.lock().unwrap().push(entry);
            }
        }
    });
    (child, address, entries)
}

/// The address, where a line of the log names it: as JSON, or as people read it in development.
fn listening_at(line: &str) -> Option<String> {
    match serde_json::from_str::<Value>(line) {
        Ok(entry) => (entry["message"] == "listening").then(|| text(&entry, "/address")),
        Err(_) => {
            let (_, address) = line.split_once(" listening address=")?;
            Some(address.trim().to_owned())
        }
    }
}

/// The body of a response with the expected status.
pub(crate) async fn json_of(response: Response, status: u16) -> Value {
    let got = response.status();
    let body = response.text().await.unwrap();
    assert_eq!(got, status, "{body}");
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// Expects problem details with this status and code, and answers their detail.
pub(crate) async fn problem_of(response: Response, status: u16, code: &str) -> String {
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let problem = json_of(response, status).await;
    assert_eq!(problem["code"], code, "{problem}");
    assert_eq!(problem["status"], status, "{problem}");
    text(&problem, "/detail")
}

/// The text at a pointer.
pub(crate) fn text(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found
        .unwrap_or_else(|| panic!("no {pointer} in {value}"))
        .to_owned()
}

/// The claims of a token, unverified.
fn claims(token: &str) -> Value {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
