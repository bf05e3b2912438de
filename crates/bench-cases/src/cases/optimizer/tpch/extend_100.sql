-- What Extend found at 100 % of the size of the tables, by HypoPG's sizes.
CREATE INDEX ON lineitem (l_orderkey);
CREATE INDEX ON lineitem (l_partkey, l_shipmode);
CREATE INDEX ON lineitem (l_receiptdate);
CREATE INDEX ON lineitem (l_returnflag);
CREATE INDEX ON lineitem (l_shipdate);
CREATE INDEX ON lineitem (l_suppkey, l_partkey);
CREATE INDEX ON orders (o_custkey);
CREATE INDEX ON orders (o_orderdate);
CREATE INDEX ON orders (o_orderkey);
CREATE INDEX ON partsupp (ps_suppkey);
