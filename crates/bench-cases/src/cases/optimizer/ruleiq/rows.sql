TRUNCATE refresh_tokens, idempotency_keys;
-- Six of each user in two families, a third of them expired; the last of each family is valid.
INSERT INTO refresh_tokens (token_hash, user_id, family, expires_at, revoked_at)
SELECT sha256(convert_to('token ' || nth || '.' || t, 'UTF8')), id, md5(nth || ' family ' || t / 3)::uuid,
       expires, CASE WHEN t % 3 < 2 THEN expires - interval '12 days' END
FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS nth FROM users) AS numbered,
     generate_series(0, 5) AS t,
     LATERAL (SELECT '2025-06-24T00:00:00Z'::timestamptz
                     + (t - 1) * interval '6 days' - nth * interval '40 seconds') AS made (expires);
-- Two of each user, which expire within a day.
INSERT INTO idempotency_keys (user_id, key, request_hash, response, expires_at)
SELECT id, md5(nth || ' key ' || k), sha256(convert_to('request ' || nth || '.' || k, 'UTF8')),
       '{"id": "01979fff-0000-7000-8000-000000000002", "status": "draft"}',
       '2025-06-24T00:00:00Z'::timestamptz + (nth * 2 + k) * interval '4 seconds'
FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS nth FROM users) AS numbered,
     generate_series(0, 1) AS k;
