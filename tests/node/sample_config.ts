/** A file that describes all nodes of a machine. */
export const SAMPLE = `\
# full-line comments with # or ;
[DEFAULT]
cluster: prod
masters: 10.0.0.1:10000 10.0.0.2:10000
partitions: 12
replicas: 1
dir: /srv/neo
ca: %(dir)s/ca.crt

[master]
bind: 10.0.0.1:10000
cert: %(dir)s/m1.crt
key: %(dir)s/m1.key
logfile: %(dir)s/m1.log

[storage1]
adapter: MySQL
database: neo:secret@neo1
bind: 10.0.0.1:20000

[admin]
bind: 10.0.0.1:9999
monitor_backup: paris
  tokyo
`;
