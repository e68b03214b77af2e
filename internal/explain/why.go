package explain

// Why says what became of a message at one session, or for one channel. It is for programs; [Texts]
// has the sentences for people.
type Why string

// The values of Why.
const (
	Written      Why = "written"       // to the connection
	NotConnected Why = "not_connected" // nobody watched the channel
	// Since: the client connected after the message, without a position.
	Since Why = "connected_since"
	// Position: the client brought a position at or after the message.
	Position Why = "position_after"
	// Behind: it is due, and not written yet, or was not when the connection ended.
	Behind      Why = "behind"
	OtherPortal Why = "other_portal" // the channel is watched in another portal
	// KeyChanged and BadToken: a client of the channel was refused, because no key has signed what
	// it brought, or because its token has expired or is wrong.
	KeyChanged Why = "key_changed"
	BadToken   Why = "token_refused"
	// Expired and Trimmed: before the session read the log; trimmed by the cap of the channel.
	Expired Why = "expired"
	Trimmed Why = "trimmed"
	// Missed: it is not stored, and the session was not there or too slow.
	Missed Why = "transient_missed"
	// Evicted: the connection had to make room for a newer one of the same user.
	Evicted  Why = "evicted"
	Gone     Why = "gone_with_failover" // Redis lost it
	NotFound Why = "not_found"          // nobody knows of such a message
	Unknown  Why = "unknown"            // the report says what is not known
)

// Lang is a language.
type Lang int

// The languages.
const (
	English Lang = iota
	Russian
)

// Texts has the sentences for the values of Why, by language.
var Texts = map[Why][2]string{
	Written: {"It was written to the connection.", "Записано в соединение."},
	NotConnected: {"No client was connected to the channel then.",
		"Ни один клиент тогда не был подключён к каналу."},
	Since: {"The client connected after the message, without the id of a last one, so it gets what comes from then on.",
		"Клиент подключился после сообщения и не назвал последнего полученного, поэтому получает только то, что приходит позже."},
	Position: {"The client connected with an id at or after the message: by its own word it has it already.",
		"Клиент подключился с номером не раньше этого сообщения: по его словам, оно у него уже есть."},
	Behind: {"It is due to the connection and has not been written to it: the client reads too slowly, or the edge cannot read the log.",
		"Сообщение ждёт записи в соединение: клиент читает слишком медленно, или узел не может прочитать журнал."},
	OtherPortal: {"The channel is watched only in another portal.", "Канал слушают только в другом портале."},
	KeyChanged: {"A client of the channel was refused, because no key of the portal has signed its list: the portal has another key than pushgate.",
		"Клиенту канала отказано: его список не подписан ни одним ключом портала. У портала и pushgate разные ключи."},
	BadToken: {"A client of the channel was refused: its token has expired or is wrong.",
		"Клиенту канала отказано: его токен истёк или неверен."},
	Expired: {"It had expired when the session read the log.", "Срок жизни сообщения истёк до того, как сеанс прочитал журнал."},
	Trimmed: {"The channel had more messages than it may keep, and the log dropped this one before the session read it.",
		"В канале стало больше сообщений, чем разрешено хранить, и журнал удалил это раньше, чем сеанс его прочитал."},
	Missed: {"It is not stored, and reaches only those who are connected and quick enough.",
		"Сообщение не хранится: его получают только те, кто подключён и успевает читать."},
	Evicted: {"The connection had to make room for a newer one of the same user.",
		"Соединение закрыто: у того же пользователя появилось более новое сверх ограничения."},
	Gone:     {"Redis has lost it, by a restart or a failover.", "Redis потерял его при перезапуске или переключении."},
	NotFound: {"Neither the log nor a process knows of such a message.", "Ни журнал, ни один процесс не знает такого сообщения."},
	Unknown:  {"It is not known; the report says what is missing.", "Неизвестно; ниже сказано, чего не хватает."},
}

// Text returns the sentence for w.
func (w Why) Text(lang Lang) string { return Texts[w][lang] }

// Missing is a reason why something is not known.
type Missing string

// The values of Missing.
const (
	MissSilent Missing = "silent" // a process did not answer
	MissGone   Missing = "gone"   // a process has ended, and its memory with it
	// The memory of a process does not reach back that far: of what it was notified of, of sessions
	// that have ended, of what was written late or from the log, of posts.
	MissHeard    Missing = "heard"
	MissSessions Missing = "sessions"
	MissWrites   Missing = "writes"
	MissPosts    Missing = "posts"
	MissMany     Missing = "too_many"  // there are more sessions than one answer has
	MissLog      Missing = "log"       // Redis does not answer
	MissOthers   Missing = "processes" // the other processes could not be asked
	// The message has expired, and the ids of its receivers with it.
	MissChannels Missing = "receivers"
	MissCut      Missing = "cut" // the connection ended while it was being written
	// A session passed it, and nothing says whether it was written.
	MissPassed Missing = "passed"
)

// missingTexts has the sentences, by language.
var missingTexts = map[Missing][2]string{
	MissSilent:   {"The process does not answer.", "Процесс не отвечает."},
	MissGone:     {"The process has ended, and what it remembered with it.", "Процесс завершился, и его память вместе с ним."},
	MissHeard:    {"The process does not remember what it was notified of then.", "Процесс не помнит, о чём его тогда уведомляли."},
	MissSessions: {"The process does not remember the connections that ended then.", "Процесс не помнит соединений, закрытых в то время."},
	MissWrites:   {"The process does not remember exactly when it wrote then.", "Процесс не помнит точного времени записи."},
	MissPosts:    {"The process does not remember the posts of then.", "Процесс не помнит публикаций того времени."},
	MissMany:     {"The process has more such connections than one answer holds.", "Таких соединений у процесса больше, чем помещается в ответ."},
	MissLog:      {"Redis does not answer.", "Redis не отвечает."},
	MissOthers:   {"The other processes could not be asked.", "Другие процессы опросить не удалось."},
	MissChannels: {"The log does not hold the message any more, so only its first receivers are known, and not their ids.",
		"Сообщения в журнале уже нет: известны только первые получатели, и не их номера."},
	MissCut:    {"The connection ended while the message was being written.", "Соединение закрылось во время записи сообщения."},
	MissPassed: {"The session has passed the message, and nothing remembered says whether it was written.", "Сеанс уже прошёл это сообщение, но записано ли оно, никто не помнит."},
}

// Text returns the sentence for m.
func (m Missing) Text(lang Lang) string { return missingTexts[m][lang] }
