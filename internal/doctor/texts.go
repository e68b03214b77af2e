package doctor

import "maps"

// texts has what each check says, both languages beside each other.
var texts = func() map[string]wording {
	all := maps.Clone(commonTexts)
	maps.Copy(all, nginxTexts)
	maps.Copy(all, capacityTexts)
	return all
}()

// commonTexts is the table without nginx.
var commonTexts = map[string]wording{
	"redis.answers": {
		text{"Redis answers", "Redis отвечает"},
		text{"Redis does not answer: publishers refuse all posts with 503.", "Redis не отвечает: publisher отклоняет все публикации с кодом 503."},
		text{"Start it (`systemctl start pushgate-redis`), or correct `PUSHGATE_REDIS_URL`.", "Запустите его (`systemctl start pushgate-redis`) или исправьте `PUSHGATE_REDIS_URL`."},
	},
	"redis.version": {
		text{"version", "версия"},
		text{"This Redis lacks commands that pushgate needs.", "В этом Redis нет команд, которые нужны pushgate."},
		text{"Install Redis 7.0 or later; the package pushgate brings `pushgate-redis`, which runs the system's redis-server on its own.", "Установите Redis 7.0 или новее; пакет pushgate содержит `pushgate-redis`, отдельный экземпляр системного redis-server."},
	},
	"redis.eviction": {
		text{"eviction policy", "политика вытеснения"},
		text{"Redis throws messages away when it is full.", "Переполненный Redis выбрасывает сообщения."},
		text{"`CONFIG SET maxmemory-policy noeviction`, and the same in redis.conf. Do not share this Redis with a cache.", "`CONFIG SET maxmemory-policy noeviction` и то же в redis.conf. Не делите этот Redis с кэшем."},
	},
	"redis.evicted": {
		text{"evicted keys", "вытесненные ключи"},
		text{"Redis has thrown keys away since it was started: messages are lost.", "С момента запуска Redis выбросил ключи: сообщения потеряны."},
		text{"Set noeviction and a larger maxmemory, then `CONFIG RESETSTAT` to count anew.", "Задайте noeviction и больший maxmemory, затем `CONFIG RESETSTAT`, чтобы считать заново."},
	},
	"redis.persistence": {
		text{"append-only file or replica", "файл AOF или реплика"},
		text{"Messages are in one memory only: a restart of Redis loses them.", "Сообщения только в памяти одного сервера: перезапуск Redis их теряет."},
		text{"`CONFIG SET appendonly yes`, and the same in redis.conf; or add a replica.", "`CONFIG SET appendonly yes` и то же в redis.conf; или добавьте реплику."},
	},
	"redis.writes": {
		text{"the last write to disk", "последняя запись на диск"},
		text{"Redis cannot write its file, and will refuse posts.", "Redis не может писать свой файл и будет отклонять публикации."},
		text{"Make room on its disk, and look at the log of Redis.", "Освободите место на его диске и посмотрите журнал Redis."},
	},
	"redis.replicas": {
		text{"replicas follow", "реплики успевают"},
		text{"A replica does not follow: as a new master it would lack messages.", "Реплика отстала: став главной, она не будет иметь части сообщений."},
		text{"Look at `INFO replication` and at the network between the two.", "Посмотрите `INFO replication` и сеть между ними."},
	},
	"redis.buffer": {
		text{"output buffer of subscribers", "буфер вывода подписчиков"},
		text{"Redis disconnects an edge that is behind for a moment, which then reads everything again.", "Redis отключает edge при малейшем отставании, и тот перечитывает всё заново."},
		text{"`CONFIG SET client-output-buffer-limit \"pubsub 64mb 16mb 30\"`, and the same in redis.conf.", "`CONFIG SET client-output-buffer-limit \"pubsub 64mb 16mb 30\"` и то же в redis.conf."},
	},
	"redis.limit": {
		text{"limit of memory", "предел памяти"},
		text{"Redis has no limit of memory: it grows until the kernel kills it or another program.", "У Redis нет предела памяти: он растёт, пока ядро не убьёт его или другую программу."},
		text{"`CONFIG SET maxmemory 512mb`, or what the machine can spare, and the same in redis.conf.", "`CONFIG SET maxmemory 512mb` или сколько может машина, и то же в redis.conf."},
	},
	"redis.memory": {
		text{"memory at today's rate", "память при нынешней нагрузке"},
		text{"Redis will be full within a day at today's rate, and then refuses posts with 503.", "При нынешней нагрузке Redis заполнится за сутки и будет отклонять публикации (503)."},
		text{"`CONFIG SET maxmemory 1gb`, or twice what it has, and the same in redis.conf; or shorter lives in `PUSHGATE_TTL_RULES`.", "`CONFIG SET maxmemory 1gb` или вдвое больше нынешнего, и то же в redis.conf; или меньший срок жизни в `PUSHGATE_TTL_RULES`."},
	},
	"redis.latency": {
		text{"time of a command", "время команды"},
		text{"Redis answers slowly: every message is that late.", "Redis отвечает медленно: настолько опаздывает каждое сообщение."},
		text{"Move it near the processes; look at `SLOWLOG GET`, `LATENCY DOCTOR` and the load of its machine.", "Разместите его рядом с процессами; посмотрите `SLOWLOG GET`, `LATENCY DOCTOR` и нагрузку его машины."},
	},
	"redis.fork": {
		text{"time of the last fork", "время последнего fork"},
		text{"When Redis writes its file anew it stands still for that long.", "Перезаписывая файл, Redis замирает на это время."},
		text{"Switch transparent huge pages off, use less memory, or a machine with faster memory; then `CONFIG RESETSTAT` and `BGREWRITEAOF`.", "Отключите transparent huge pages, уменьшите объём или возьмите машину быстрее; затем `CONFIG RESETSTAT` и `BGREWRITEAOF`."},
	},
	"redis.shared": {
		text{"nothing else is in this Redis", "в этом Redis нет чужого"},
		text{"Another program keeps data in this Redis, and takes memory and time from messages.", "В этом Redis данные другой программы: она отнимает память и время у сообщений."},
		text{"Give pushgate a Redis of its own (`systemctl enable --now pushgate-redis`).", "Дайте pushgate отдельный Redis (`systemctl enable --now pushgate-redis`)."},
	},
	"redis.thp": {
		text{"transparent huge pages", "transparent huge pages"},
		text{"Huge pages make Redis slow and large when it writes its file.", "Большие страницы замедляют Redis и раздувают его память при записи файла."},
		text{"`echo madvise >/sys/kernel/mm/transparent_hugepage/enabled`, at each boot, and restart Redis.", "`echo madvise >/sys/kernel/mm/transparent_hugepage/enabled` при каждой загрузке, и перезапустите Redis."},
	},

	"machine.ports": {
		text{"ports for outgoing connections", "порты исходящих соединений"},
		text{"nginx needs a port for each connection to an edge, and there are few.", "nginx нужен порт на каждое соединение с edge, а их мало."},
		text{"`sysctl -w net.ipv4.ip_local_port_range=\"20480 65535\"`, and the same in /etc/sysctl.d.", "`sysctl -w net.ipv4.ip_local_port_range=\"20480 65535\"` и то же в /etc/sysctl.d."},
	},
	"machine.portclash": {
		text{"our ports are not used for outgoing connections", "наши порты не заняты исходящими соединениями"},
		text{"An outgoing connection may take one of our ports while a process restarts, which then cannot start.", "Исходящее соединение может занять наш порт во время перезапуска, и процесс не запустится."},
		text{"`sysctl -w net.ipv4.ip_local_port_range=\"20480 65535\"`, and the same in /etc/sysctl.d; or use other ports.", "`sysctl -w net.ipv4.ip_local_port_range=\"20480 65535\"` и то же в /etc/sysctl.d; или смените порты."},
	},
	"machine.somaxconn": {
		text{"connections that may wait to be accepted", "очередь соединений на приём"},
		text{"When all clients return at once, most of them are refused.", "Когда все клиенты вернутся разом, большинство получит отказ."},
		text{"`sysctl -w net.core.somaxconn=16384`, and the same in /etc/sysctl.d; then restart the processes and nginx.", "`sysctl -w net.core.somaxconn=16384` и то же в /etc/sysctl.d; затем перезапустите процессы и nginx."},
	},
	"machine.handshakes": {
		text{"handshakes under way", "незавершённые рукопожатия"},
		text{"When all clients return at once, many handshakes are dropped and repeated after a second or more.", "Когда все клиенты вернутся разом, часть рукопожатий пропадёт и повторится через секунду и позже."},
		text{"`sysctl -w net.ipv4.tcp_max_syn_backlog=16384`, and the same in /etc/sysctl.d.", "`sysctl -w net.ipv4.tcp_max_syn_backlog=16384` и то же в /etc/sysctl.d."},
	},
	"machine.conntrack": {
		text{"the firewall's table of connections", "таблица соединений файрвола"},
		text{"The table fills up; a full one drops new connections silently.", "Таблица заполняется; полная молча отбрасывает новые соединения."},
		text{"`sysctl -w net.netfilter.nf_conntrack_max=1048576`, and the same in /etc/sysctl.d.", "`sysctl -w net.netfilter.nf_conntrack_max=1048576` и то же в /etc/sysctl.d."},
	},
	"machine.tcpmem": {
		text{"memory of all sockets", "память всех сокетов"},
		text{"Sockets have nearly all the memory that the kernel allows: connections become slow, then fail.", "Сокеты заняли почти всю память, которую даёт ядро: соединения замедляются, затем рвутся."},
		text{"Raise the three numbers of `net.ipv4.tcp_mem` (in pages), or add memory.", "Увеличьте три числа `net.ipv4.tcp_mem` (в страницах) или добавьте памяти."},
	},

	"processes.found": {
		text{"an edge and a publisher run", "есть edge и publisher"},
		text{"There is no edge, or no publisher: nothing is delivered, or nothing is accepted.", "Нет edge или нет publisher: сообщения не доставляются или не принимаются."},
		text{"`systemctl enable --now edge@8010 publisher@9010`, or name the others too with --admin.", "`systemctl enable --now edge@8010 publisher@9010` или укажите остальные в --admin."},
	},
	"processes.ready": {
		text{"all are ready", "все готовы"},
		text{"A process does not answer, or says that it cannot work.", "Процесс не отвечает или сообщает, что не может работать."},
		text{"docs/troubleshooting.md, \"/readyz is 503\", has each reason; `journalctl -u 'edge@*' -u 'publisher@*'` has the log.", "Причины: docs/ru/troubleshooting.md, «/readyz отвечает 503»; журнал: `journalctl -u 'edge@*' -u 'publisher@*'`."},
	},
	"processes.versions": {
		text{"all have the same version", "версии одинаковы"},
		text{"Processes of different builds run: an upgrade was not finished.", "Работают процессы разных сборок: обновление не закончено."},
		text{"`/usr/lib/pushgate/restart` replaces all of them one after another.", "`/usr/lib/pushgate/restart` заменит все по очереди."},
	},
	"processes.clock": {
		text{"clocks of this machine, the processes and Redis", "часы этой машины, процессов и Redis"},
		text{"Clocks differ: tokens and signatures with a time are refused, and messages expire early or late.", "Часы расходятся: токены и подписи со временем отклоняются, сообщения истекают не вовремя."},
		text{"`timedatectl set-ntp true` on each machine.", "`timedatectl set-ntp true` на каждой машине."},
	},
	"processes.descriptors": {
		text{"descriptors", "дескрипторы"},
		text{"A process may open few files: each connection is one.", "Процессу разрешено мало файлов, а каждое соединение занимает один."},
		text{"`LimitNOFILE=262144` in the unit, or ulimits of the container; then restart the process.", "`LimitNOFILE=262144` в юните или ulimits контейнера; затем перезапустите процесс."},
	},
	"processes.lost": {
		text{"nothing was lost", "ничего не потеряно"},
		text{"Messages were lost since the process was started: Redis lost them, or they did not fit into the channel.", "С момента запуска терялись сообщения: их потерял Redis или они не поместились в канал."},
		text{"Mend what is wrong with Redis above, or raise `PUSHGATE_CHANNEL_CAP`. The count begins anew with a restart.", "Исправьте замечания по Redis выше или увеличьте `PUSHGATE_CHANNEL_CAP`. Счёт начнётся заново после перезапуска."},
	},
	"processes.posts": {
		text{"posts of the portal are accepted", "публикации портала принимаются"},
		text{"Most posts were refused with 403: the portal's address is not allowed, or its signature is wrong.", "Большинство публикаций отклонено с кодом 403: адрес портала не разрешён или подпись неверна."},
		text{"Add the portal's network to `PUSHGATE_PUBLISH_ALLOW`, or compare the key; the publisher's log names the address.", "Добавьте сеть портала в `PUSHGATE_PUBLISH_ALLOW` или сверьте ключ; адрес есть в журнале publisher."},
	},

	"keys.settings": {
		text{"settings", "настройки"},
		text{"With these settings no process starts.", "С такими настройками процессы не запустятся."},
		text{"Correct what is named above, or pass the file that the processes read with --env FILE.", "Исправьте указанное или передайте файл, который читают процессы: --env ФАЙЛ."},
	},
	"keys.short": {
		text{"length of keys", "длина ключей"},
		text{"A key is so short that it can be found out by trying.", "Ключ настолько короткий, что его можно подобрать."},
		text{"Enter a long random key in the portal and here, and remove `PUSHGATE_ALLOW_SHORT_KEYS`.", "Задайте длинный случайный ключ в портале и здесь и уберите `PUSHGATE_ALLOW_SHORT_KEYS`."},
	},
	"keys.sample": {
		text{"a key of ours signed the sample", "образец подписан нашим ключом"},
		text{"None of our keys signed the sample: the portal has another key.", "Образец не подписан ни одним из наших ключей: у портала другой ключ."},
		text{"Enter the portal's signature_key (module pull) into `PUSHGATE_KEYS` or the file of `PUSHGATE_PORTALS`.", "Внесите signature_key портала (модуль pull) в `PUSHGATE_KEYS` или в файл из `PUSHGATE_PORTALS`."},
	},
	"keys.algorithm": {
		text{"algorithm of the sample", "алгоритм образца"},
		text{"The key is right, but the portal signs with another algorithm.", "Ключ верный, но портал подписывает другим алгоритмом."},
		text{"Set `PUSHGATE_SIGNATURE_ALGO` to the algorithm that is named above, which is signature_algo in the portal.", "Задайте в `PUSHGATE_SIGNATURE_ALGO` названный алгоритм: в портале это signature_algo."},
	},
	"keys.encoding": {
		text{"form of the key", "вид ключа"},
		text{"The key is right, but in another form: the portal uses what this text decodes to.", "Ключ верный, но в другом виде: портал использует то, что получается при его раскодировании."},
		text{"Enter the key in the same form on both sides: as plain text, neither base64 nor hexadecimal.", "Внесите ключ с обеих сторон в одном виде: обычным текстом, без base64 и шестнадцатеричной записи."},
	},

	"others.ports": {
		text{"who listens on our ports", "кто слушает наши порты"},
		text{"Another program has one of our ports.", "Наш порт занят другой программой."},
		text{"Stop it (`systemctl disable --now push-server` if it is the original), or use another port.", "Остановите её (`systemctl disable --now push-server`, если это прежний сервер) или смените порт."},
	},
	"others.original": {
		text{"the original server does not run", "прежний сервер не работает"},
		text{"The original push server runs beside this one. That is right only while you move.", "Рядом работает прежний push-server. Это нормально только во время переезда."},
		text{"When the move is over: `systemctl disable --now push-server`.", "Когда переезд закончен: `systemctl disable --now push-server`."},
	},
	"others.logrotate": {
		text{"no rotation of logs restarts a push server", "ротация журналов не перезапускает сервер"},
		text{"A rotation of logs restarts the server: everybody is disconnected every night.", "Ротация журналов перезапускает сервер: каждую ночь отключаются все."},
		text{"Remove the file: pushgate writes no log files.", "Удалите файл: pushgate не пишет файлов журнала."},
	},

	"portal.post": {
		text{"a post as the portal makes it", "публикация от имени портала"},
		text{"A signed post did not succeed: the portal's do not either, or it has another address.", "Подписанная публикация не прошла: у портала тоже не пройдёт, или адрес другой."},
		text{"Pass the portal's path_to_publish with --publish; docs/troubleshooting.md has each status.", "Передайте path_to_publish портала в --publish; статусы: docs/ru/troubleshooting.md."},
	},
	"portal.websocket": {
		text{"a message through a WebSocket", "сообщение по WebSocket"},
		text{"A message does not arrive on a WebSocket through the public address.", "Сообщение не доходит по WebSocket через публичный адрес."},
		text{"Include pushgate/sub.conf and maps.conf in the portal's server block; look at proxies in front of it.", "Подключите pushgate/sub.conf и maps.conf в server портала; проверьте прокси перед ним."},
	},
	"portal.poll": {
		text{"a message through a long poll", "сообщение по long poll"},
		text{"A message does not arrive on a long poll through the public address.", "Сообщение не доходит по long poll через публичный адрес."},
		text{"Include pushgate/sub.conf in the portal's server block; look at proxies in front of it.", "Подключите pushgate/sub.conf в server портала; проверьте прокси перед ним."},
	},
	"portal.sse": {
		text{"a message through server-sent events", "сообщение по server-sent events"},
		text{"A message does not arrive on a stream of events through the public address. Portals do not use it; your own clients may.", "Сообщение не доходит по потоку событий через публичный адрес. Порталы им не пользуются, ваши клиенты могут."},
		text{"Include pushgate/sub.conf in the portal's server block, and switch buffering off in proxies in front of it.", "Подключите pushgate/sub.conf в server портала и отключите буферизацию в прокси перед ним."},
	},
	"portal.selftest": {
		text{"the portal's self-test", "самопроверка портала"},
		text{"What the portal's own check of the push server does fails here, too: the check in its control panel is red.", "То, что делает собственная проверка портала, не проходит и отсюда: в панели управления она красная."},
		text{"The line names the step. A poll needs `proxy_buffering off;` in its location, the post the portal's address in `PUSHGATE_PUBLISH_ALLOW`; look at proxies in front of both.", "Строка называет шаг. Для poll нужен `proxy_buffering off;` в location, для публикации адрес портала в `PUSHGATE_PUBLISH_ALLOW`; проверьте прокси перед ними."},
	},
	"portal.closed": {
		text{"the public address takes no posts", "публичный адрес не принимает публикаций"},
		text{"A post without a signature was accepted on the public address: anybody may post as the portal.", "Публикация без подписи принята на публичном адресе: кто угодно может писать от имени портала."},
		text{"Remove the location of /bitrix/pub/ from the public server block; the portal posts to 127.0.0.1:8895.", "Удалите location для /bitrix/pub/ из публичного server; портал публикует на 127.0.0.1:8895."},
	},
}
