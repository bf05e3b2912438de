//! Users and their businesses. None of them exists; the domains are reserved by RFC 2606.

use uuid::Uuid;

use super::{
    Size,
    copy::Rows,
    random::Random,
    time::{Span, Time},
};

/// The address of the user whose password may be set.
pub(crate) const DEMO_EMAIL: &str = "demo@ruleiq.example";
pub(super) const DEMO_NAME: &str = "Demo User";
/// Not a hash of anything, so nobody logs in with it.
pub(super) const NO_PASSWORD: &str = "!";

pub(super) const COPY_USERS: &str =
    "COPY users (id, email, full_name, password_hash, created_at, updated_at)
     FROM STDIN (FORMAT binary)";
pub(super) const COPY_PROFILES: &str =
    "COPY business_profiles (id, user_id, name, industry, country, employee_count, created_at, updated_at)
     FROM STDIN (FORMAT binary)";

/// Users come first, then businesses, then assessments.
const USERS_FROM: Time = Time::EPOCH;
const PROFILES_FROM: Span = Span::days(180);
const TAKES: Span = Span::days(180);

const GIVEN_NAMES: &[&str] = &[
    "Ada",
    "Aisha",
    "Alejandro",
    "Amara",
    "Anna",
    "Ben",
    "Chloé",
    "Daniel",
    "Elif",
    "Emily",
    "Fatima",
    "George",
    "Grace",
    "Hana",
    "Harry",
    "Ines",
    "Isla",
    "Jack",
    "James",
    "José",
    "Kofi",
    "Lena",
    "Liam",
    "Łukasz",
    "Maja",
    "Mohammed",
    "Nia",
    "Noah",
    "Olivia",
    "Omar",
    "Priya",
    "Rhys",
    "Saoirse",
    "Sofia",
    "Thomas",
    "Wei",
    "Yusuf",
    "Zoë",
];
const FAMILY_NAMES: &[&str] = &[
    "Ahmed",
    "Baker",
    "Becker",
    "Brown",
    "Campbell",
    "Chen",
    "Clarke",
    "Davies",
    "Evans",
    "Fernández",
    "García",
    "Green",
    "Hughes",
    "Jones",
    "Kaya",
    "Khan",
    "Kowalska",
    "Lewis",
    "MacDonald",
    "Martin",
    "Mensah",
    "Murphy",
    "Müller",
    "Nguyen",
    "O'Brien",
    "Okafor",
    "Patel",
    "Roberts",
    "Rossi",
    "Singh",
    "Smith",
    "Taylor",
    "Thompson",
    "Walker",
    "Williams",
    "Wilson",
    "Wright",
    "Yılmaz",
];
const BUSINESS_NAMES: &[&str] = &[
    "Albion",
    "Anchor",
    "Beacon",
    "Bluebell",
    "Cedar",
    "Clifton",
    "Copper",
    "Eastgate",
    "Fairway",
    "Foxglove",
    "Granite",
    "Harbour",
    "Heather",
    "Ironbridge",
    "Juniper",
    "Kestrel",
    "Lantern",
    "Meridian",
    "Northfield",
    "Oakwood",
    "Pennine",
    "Quayside",
    "Redwood",
    "Severn",
    "Thistle",
    "Westbourne",
    "Wharf",
    "Yewtree",
];
/// What a business does, and what it is called for that.
const INDUSTRIES: &[(u64, (&str, &str))] = &[
    (18, ("Software", "Systems")),
    (16, ("Financial services", "Capital")),
    (12, ("Healthcare", "Health")),
    (12, ("Retail", "Stores")),
    (9, ("Professional services", "Partners")),
    (8, ("Manufacturing", "Works")),
    (7, ("Education", "Learning")),
    (6, ("Logistics", "Freight")),
    (5, ("Energy", "Power")),
    (4, ("Hospitality", "Hotels")),
    (3, ("Charity", "Trust")),
];
const COUNTRIES: &[(u64, (&str, &str))] = &[
    (62, ("GB", "Ltd")),
    (10, ("IE", "Ltd")),
    (9, ("DE", "GmbH")),
    (7, ("FR", "SAS")),
    (5, ("NL", "BV")),
    (4, ("ES", "SL")),
    (3, ("US", "Inc")),
];
/// Most businesses are small: the lower bounds of the bands, and how many times as many there may
/// be.
const STAFF: &[(u64, u64)] = &[(55, 1), (28, 10), (12, 50), (5, 250)];

/// The key of the demo user, who belongs to all scales.
pub(super) fn demo_user() -> Uuid {
    Random::of(&["demo user"], 0).key(USERS_FROM, 0)
}

/// The key of a user. The first is the demo user.
pub(super) fn user_key(size: &Size, n: u64) -> Uuid {
    match n {
        0 => demo_user(),
        _ => size.random("users", n).key(user_created(size, n), 0),
    }
}

pub(super) fn write_user(size: &Size, n: u64, rows: &mut Rows) {
    let mut random = size.random("users", n);
    let created = user_created(size, n);
    let key = random.key(created, 0);
    let (given, family) = (random.pick(GIVEN_NAMES), random.pick(FAMILY_NAMES));
    rows.row(6)
        .uuid(key)
        .text(&format!("user{n}@{}.ruleiq.example", size.name))
        .text(&format!("{given} {family}"))
        .text(NO_PASSWORD)
        .time(created)
        .time(created);
}

/// The key of a business.
pub(super) fn profile_key(size: &Size, n: u64) -> Uuid {
    size.random("profiles", n).key(profile_created(size, n), 0)
}

/// Whose business it is: everybody has one, and some have many more.
pub(super) fn owner_of(size: &Size, n: u64) -> u64 {
    match n < size.users {
        true => n,
        false => size.random("owners", n).skewed(size.users),
    }
}

pub(super) fn write_profile(size: &Size, n: u64, rows: &mut Rows) {
    let mut random = size.random("profiles", n);
    let created = profile_created(size, n);
    let key = random.key(created, 0);
    let (industry, suffix) = random.weighted(INDUSTRIES);
    let (country, form) = random.weighted(COUNTRIES);
    let name = random.pick(BUSINESS_NAMES);
    let least = random.weighted(STAFF);
    let staff = least + random.skewed(least * 9);
    rows.row(8)
        .uuid(key)
        .uuid(user_key(size, owner_of(size, n)))
        .text(&format!("{name} {suffix} {form}"))
        .text(industry)
        .text(country)
        .integer(i32::try_from(staff).expect("at most 2,500"))
        .time(created)
        .time(created);
}

fn user_created(size: &Size, n: u64) -> Time {
    USERS_FROM + TAKES.share(n, size.users)
}

fn profile_created(size: &Size, n: u64) -> Time {
    USERS_FROM + PROFILES_FROM + TAKES.share(n, size.profiles)
}
