"""What a node learns from the primary master, and the rules that master has to keep telling it."""

from wire import CellStates, NodeStates, NodeTypes, Violation, u64


class ClusterView:
    """Nodes and partition table as one node is told them on its connection to the master."""

    def __init__(self, node_type):
        self.node_type = node_type
        self.nid = None
        self.id_timestamp = None
        self.master = None
        self.nodes = {}
        self.ptid = None
        self.replicas = None
        self.rows = None
        self.state = None
        self._timestamp = 0.0

    def observe(self, name, args):
        reaction = getattr(self, f"_on_{name}", None)
        if reaction is not None:
            reaction(*args)
        elif self.nid is not None and self.id_timestamp is None:
            raise Violation(f"{name} before the list of nodes")

    def cells(self, identifier, *states):
        """Nodes with a cell of the partition of that oid or tid, in one of these states."""
        row = self.rows[u64(identifier) % len(self.rows)]
        return [nid for nid, state in row if not states or state in states]

    def readable(self, identifier):
        return self.cells(identifier, CellStates.UP_TO_DATE, CellStates.FEEDING)

    def _on_AcceptIdentification(self, node_type, master, nid):
        if node_type is not NodeTypes.MASTER or master is None or nid is None:
            raise Violation("a master identifies itself and gives an id")
        if nid >> 24 != {"CLIENT": -0x20, "ADMIN": -0x30, "STORAGE": 0}[self.node_type.name]:
            raise Violation(f"{nid} is not the id of a {self.node_type}")
        self.master = master
        self.nid = nid

    def _on_NotifyNodeInformation(self, timestamp, nodes):
        if timestamp <= self._timestamp:
            raise Violation("the time of node information does not increase")
        self._timestamp = timestamp
        if self.id_timestamp is None:
            self._first_list(nodes)
        for node_type, where, nid, state, id_timestamp in nodes:
            if id_timestamp is not None and id_timestamp >= timestamp:
                raise Violation(f"{nid} identified in the future")
            if node_type is NodeTypes.CLIENT and self.node_type is NodeTypes.CLIENT:
                if nid != self.nid:
                    raise Violation("a client is told about another one")
            if node_type is NodeTypes.CLIENT and state in (NodeStates.DOWN, NodeStates.PENDING):
                raise Violation(f"client {state}")
            if (where is None) != (node_type is NodeTypes.CLIENT):
                raise Violation(f"{node_type} with address {where}")
            if node_type is NodeTypes.ADMIN and nid != self.nid:
                raise Violation("only an admin itself is told about it")
            if state is NodeStates.UNKNOWN:
                self.nodes.pop(nid, None)
            else:
                self.nodes[nid] = node_type, where, state, id_timestamp

    def _first_list(self, nodes):
        if self.nid is None:
            raise Violation("a list of nodes before the identification")
        node_type, _, nid, _, id_timestamp = nodes[0]
        if (node_type, nid) != (self.node_type, self.nid) or id_timestamp is None:
            raise Violation(f"the first list begins with {nodes[0]}")
        if len({node[2] for node in nodes}) != len(nodes):
            raise Violation("a node is listed twice")
        masters = [node for node in nodes if node[2] == self.master]
        if len(masters) != 1 or masters[0][3] is not NodeStates.RUNNING:
            raise Violation("the first list lacks the master")
        self.id_timestamp = id_timestamp

    def _on_SendPartitionTable(self, ptid, replicas, rows):
        if ptid is None and (self.node_type is not NodeTypes.ADMIN or any(rows)):
            raise Violation("only admins are sent a table that does not exist yet")
        if self.node_type is not NodeTypes.ADMIN and not all(rows):
            raise Violation("incomplete partition table")
        self.ptid = ptid
        self.replicas = replicas
        self.rows = rows
        for row in rows:
            if len({nid for nid, _ in row}) != len(row):
                raise Violation(f"node twice in {row}")
            for nid, state in row:
                self._check_cell(nid, state)
                if state is CellStates.DISCARDED:
                    raise Violation("discarded cell in a partition table")

    def _on_NotifyPartitionChanges(self, ptid, replicas, cells):
        if self.ptid is None or ptid != self.ptid + 1:
            raise Violation(f"partition table {self.ptid} changes to {ptid}")
        self.ptid = ptid
        self.replicas = replicas
        for offset, nid, state in cells:
            row = self.rows[offset]
            row[:] = [cell for cell in row if cell[0] != nid]
            if state is not CellStates.DISCARDED:
                self._check_cell(nid, state)
                row.append([nid, state])

    def _check_cell(self, nid, state):
        if nid not in self.nodes:
            raise Violation(f"cell {state} of the unknown node {nid}")

    def _on_NotifyClusterInformation(self, state):
        if state is self.state:
            raise Violation(f"cluster state {state} twice")
        self.state = state
