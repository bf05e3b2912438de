-- What Extend found at 50 % of the size of the tables, by HypoPG's sizes.
CREATE INDEX ON lineitem (l_partkey);
CREATE INDEX ON lineitem (l_shipdate);
CREATE INDEX ON lineitem (l_suppkey);
CREATE INDEX ON orders (o_custkey);
CREATE INDEX ON orders (o_orderdate);
CREATE INDEX ON orders (o_orderkey);
CREATE INDEX ON partsupp (ps_suppkey);
