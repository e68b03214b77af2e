package doctor

// nginxTexts is the part of the table about nginx.
var nginxTexts = map[string]wording{
	"nginx.config": {
		text{"the configuration", "конфигурация"},
		text{"A file that is included is missing.", "Нет подключаемого файла."},
		text{"`nginx -t` names it.", "Его назовёт `nginx -t`."},
	},
	"nginx.websockets": {
		text{"a location for WebSockets", "location для WebSocket"},
		text{"No server block passes /bitrix/subws/ on: no browser gets a WebSocket.", "Ни один server не передаёт /bitrix/subws/: WebSocket не получит никто."},
		text{"`include pushgate/sub.conf;` in the portal's server block.", "`include pushgate/sub.conf;` в server портала."},
	},
	"nginx.polls": {
		text{"a location for long polls", "location для long poll"},
		text{"No server block passes /bitrix/sub/ on: clients that cannot use WebSockets get nothing, and the portal's self-test is red.", "Ни один server не передаёт /bitrix/sub/: клиенты без WebSocket ничего не получат, проверка портала красная."},
		text{"`include pushgate/sub.conf;` in the portal's server block.", "`include pushgate/sub.conf;` в server портала."},
	},
	"nginx.rest": {
		text{"a location for messages of clients", "location для сообщений клиентов"},
		text{"No server block passes /bitrix/rest/ on: what clients on long polls write to each other is lost.", "Ни один server не передаёт /bitrix/rest/: пропадает то, что клиенты на long poll пишут друг другу."},
		text{"`include pushgate/rest.conf;` in the portal's server block.", "`include pushgate/rest.conf;` в server портала."},
	},
	"nginx.upgrade": {
		text{"the upgrade of WebSockets", "upgrade для WebSocket"},
		text{"nginx does not pass the upgrade on: WebSockets are answered as long polls.", "nginx не передаёт upgrade: вместо WebSocket получается long poll."},
		text{"`proxy_set_header Upgrade $replace_upgrade;` and `proxy_set_header Connection $connection_upgrade;` in the location, and `include pushgate/maps.conf;` in http.", "`proxy_set_header Upgrade $replace_upgrade;` и `proxy_set_header Connection $connection_upgrade;` в location, `include pushgate/maps.conf;` в http."},
	},
	"nginx.http": {
		text{"HTTP/1.1 to the edges", "HTTP/1.1 до edge"},
		text{"nginx speaks HTTP/1.0 to the edges: where WebSockets are passed on there are none, and each poll is a new connection.", "nginx говорит с edge по HTTP/1.0: WebSocket в этом location не работает, и на каждый poll новое соединение."},
		text{"`proxy_http_version 1.1;` in the location.", "`proxy_http_version 1.1;` в location."},
	},
	"nginx.timeout": {
		text{"read time-out of subscribers", "время ожидания подписчиков"},
		text{"nginx ends polls before the edge answers them, and WebSockets at rest.", "nginx обрывает poll раньше ответа edge, и WebSocket в покое."},
		text{"`proxy_read_timeout 43800s;` in the location.", "`proxy_read_timeout 43800s;` в location."},
	},
	"nginx.buffering": {
		text{"buffering of subscribers", "буферизация подписчиков"},
		text{"nginx collects answers before it passes them on: messages are late, and streams stand still.", "nginx накапливает ответы: сообщения опаздывают, потоки стоят."},
		text{"`proxy_buffering off;` in the location.", "`proxy_buffering off;` в location."},
	},
	"nginx.next": {
		text{"the next edge when one leaves", "следующий edge, если один уходит"},
		text{"An edge that leaves answers 503, and the client sees it instead of another edge.", "Уходящий edge отвечает 503, и клиент видит это вместо другого edge."},
		text{"`proxy_next_upstream error timeout http_502 http_503;` in the location.", "`proxy_next_upstream error timeout http_502 http_503;` в location."},
	},
	"nginx.repeat": {
		text{"posts are sent once", "публикации посылаются один раз"},
		text{"nginx repeats posts that may have been published: messages come twice.", "nginx повторяет публикации, которые могли пройти: сообщения приходят дважды."},
		text{"`proxy_next_upstream error timeout;` in the location.", "`proxy_next_upstream error timeout;` в location."},
	},
	"nginx.publish": {
		text{"the path of posts is not public", "путь публикаций не публичный"},
		text{"Everybody can reach the location of the portal's posts: only the address of the sender protects it.", "Location публикаций портала доступен всем: его защищает только адрес отправителя."},
		text{"Remove it from this server block; have it in one with `listen 127.0.0.1:8895;`, to which the portal posts.", "Удалите его из этого server; он должен быть в server с `listen 127.0.0.1:8895;`, куда публикует портал."},
	},
	"nginx.body": {
		text{"size of posts", "размер публикаций"},
		text{"nginx refuses posts that the publisher would accept.", "nginx отклоняет публикации, которые publisher принял бы."},
		text{"`client_max_body_size 4m;` in the location.", "`client_max_body_size 4m;` в location."},
	},
	"nginx.log": {
		text{"no secrets in the log", "в журнале нет секретов"},
		text{"nginx logs whole addresses: whoever reads the log can read the users' messages.", "nginx пишет в журнал адреса целиком: кто читает журнал, может читать сообщения пользователей."},
		text{"`access_log off;` in the location, or the format of pushgate/log.conf.", "`access_log off;` в location или формат из pushgate/log.conf."},
	},
	"nginx.iphash": {
		text{"how an edge is chosen", "как выбирается edge"},
		text{"nginx chooses by address: a whole office is served by one process, whatever it has to do.", "nginx выбирает по адресу: целый офис обслуживает один процесс, как бы он ни был занят."},
		text{"`least_conn;` instead: every edge serves every client.", "Вместо этого `least_conn;`: любой edge обслужит любого клиента."},
	},
	"nginx.connections": {
		text{"connections of nginx", "соединения nginx"},
		text{"nginx can hold few connections; each client takes two.", "nginx держит мало соединений, а каждый клиент занимает два."},
		text{"`worker_connections 32768;` in events.", "`worker_connections 32768;` в events."},
	},
	"nginx.descriptors": {
		text{"descriptors of nginx", "дескрипторы nginx"},
		text{"nginx may open fewer files than it has connections.", "nginx разрешено меньше файлов, чем соединений."},
		text{"`worker_rlimit_nofile 65536;` at the top of nginx.conf.", "`worker_rlimit_nofile 65536;` в начале nginx.conf."},
	},
	"nginx.upstreams": {
		text{"servers that nginx passes requests on to", "серверы, которым nginx передаёт запросы"},
		text{"A server of an upstream does not answer.", "Сервер из upstream не отвечает."},
		text{"Start it, or take it out of pushgate/upstreams.conf.", "Запустите его или уберите из pushgate/upstreams.conf."},
	},
}
