package doctor

// capacityTexts is the part of the table about the capacity. Of a limit, the problem is empty.
var capacityTexts = map[string]wording{
	"capacity.measured": {
		text{"the measurement", "измерение"},
		text{"The measurement ended early: the installation refused a connection or a post, or messages became late.", "Измерение прервано: отказано в соединении или публикации, или сообщения стали опаздывать."},
		text{"If it names a limit, that is the first one below. Otherwise mend what is wrong above, and measure again when less is going on.", "Если назван предел, он первый ниже. Иначе исправьте найденное выше и повторите, когда нагрузка меньше."},
	},
	"capacity.headroom": {
		text{"room for more users", "запас для пользователей"},
		text{"More than four fifths of the users that this installation holds are connected now.", "Подключено больше четырёх пятых пользователей, которых выдержит установка."},
		text{"Raise the first limit below.", "Поднимите первый предел ниже."},
	},

	"capacity.descriptors": {looks: text{"descriptors of the edges", "дескрипторы edge"},
		remedy: text{"`LimitNOFILE=1048576` for the unit of the edges (`systemctl edit edge@ edge-next@`), `ulimits: nofile` in compose; or more edges.", "`LimitNOFILE=1048576` в юните edge (`systemctl edit edge@ edge-next@`), `ulimits: nofile` в compose; или больше edge."}},
	"capacity.connections": {looks: text{"PUSHGATE_MAX_CONNECTIONS of the edges", "PUSHGATE_MAX_CONNECTIONS у edge"},
		remedy: text{"Raise `PUSHGATE_MAX_CONNECTIONS`, or remove it: then the descriptors count. Or run more edges.", "Поднимите `PUSHGATE_MAX_CONNECTIONS` или уберите: тогда считаются дескрипторы. Или запустите больше edge."}},
	"capacity.edge_memory": {looks: text{"PUSHGATE_MAX_MEMORY or GOMEMLIMIT of the edges", "PUSHGATE_MAX_MEMORY или GOMEMLIMIT у edge"},
		remedy: text{"Raise `PUSHGATE_MAX_MEMORY` or `GOMEMLIMIT`, or run more edges.", "Поднимите `PUSHGATE_MAX_MEMORY` или `GOMEMLIMIT` или запустите больше edge."}},
	"capacity.memory": {looks: text{"memory of this machine", "память этой машины"},
		remedy: text{"More memory, or edges on another machine.", "Больше памяти или edge на другой машине."}},
	"capacity.cgroup": {looks: text{"limit of memory of the unit or container", "предел памяти юнита или контейнера"},
		remedy: text{"Raise `MemoryMax` of the unit, or the limit of the container; then `GOMEMLIMIT`, to a tenth below it.", "Поднимите `MemoryMax` юнита или предел контейнера, затем `GOMEMLIMIT` на десятую ниже."}},
	"capacity.nginx_connections": {looks: text{"connections of nginx", "соединения nginx"},
		remedy: text{"`worker_connections 32768;` in events, or more: two for each user, over all workers.", "`worker_connections 32768;` в events или больше: два на пользователя, по всем процессам."}},
	"capacity.nginx_descriptors": {looks: text{"descriptors of nginx", "дескрипторы nginx"},
		remedy: text{"`worker_rlimit_nofile 65536;` at the top of nginx.conf, or more: two for each user, over all workers.", "`worker_rlimit_nofile 65536;` в начале nginx.conf или больше: два на пользователя, по всем процессам."}},
	"capacity.ports": {looks: text{"ports from nginx to the edges", "порты от nginx к edge"},
		remedy: text{"More edges: each has all ports for itself. Or `sysctl -w net.ipv4.ip_local_port_range=\"20000 60999\"`.", "Больше edge: у каждого все порты свои. Или `sysctl -w net.ipv4.ip_local_port_range=\"20000 60999\"`."}},
	"capacity.conntrack": {looks: text{"the firewall's table of connections", "таблица соединений межсетевого экрана"},
		remedy: text{"`sysctl -w net.netfilter.nf_conntrack_max=262144`, or track no connections of the loopback.", "`sysctl -w net.netfilter.nf_conntrack_max=262144` или не отслеживайте соединения loopback."}},
	"capacity.cpu": {looks: text{"processors of this machine, at today's traffic", "процессоры этой машины при нынешней нагрузке"},
		remedy: text{"More cores, or edges on another machine.", "Больше ядер или edge на другой машине."}},
	"capacity.redis_cpu": {looks: text{"the processor of Redis, at today's traffic", "процессор Redis при нынешней нагрузке"},
		remedy: text{"Divide the portals among the nodes of a Redis Cluster (docs/scaling.md).", "Разделите порталы между узлами Redis Cluster (docs/scaling.md)."}},
	"capacity.redis_memory": {looks: text{"memory of Redis, at today's traffic", "память Redis при нынешней нагрузке"},
		remedy: text{"Raise `maxmemory`, or let messages live shorter (`PUSHGATE_TTL_RULES`).", "Поднимите `maxmemory` или сократите жизнь сообщений (`PUSHGATE_TTL_RULES`)."}},
}

// stops says why a measurement has ended early.
var stops = map[stop]text{
	stopRefused: {"a connection was refused or lost", "в соединении отказано, или оно потеряно"},
	stopPost:    {"a post was not accepted", "публикация не принята"},
	stopLate:    {"messages became late", "сообщения стали опаздывать"},
	stopReady:   {"a process became not ready", "процесс перестал быть готов"},
}
