package doctor

import "strings"

// Lang is a language of the texts.
type Lang string

// The languages.
const (
	English Lang = "en"
	Russian Lang = "ru"
)

// ParseLang returns the language of a name such as "ru" or "ru_RU.UTF-8"; English for all that are
// not Russian.
func ParseLang(name string) Lang {
	if name = strings.ToLower(name); name == "ru" || strings.HasPrefix(name, "ru_") || strings.HasPrefix(name, "ru-") {
		return Russian
	}
	return English
}

// text is the same in both languages.
type text struct{ en, ru string }

func (t text) in(lang Lang) string {
	if lang == Russian {
		return t.ru
	}
	return t.en
}

// wording is what a check says: what it looks at; what is wrong if it finds something; what to do
// then. What stands between backquotes is to be typed as it is.
type wording struct{ looks, problem, remedy text }

var stateNames = map[State]text{
	OK:      {"ok", "ок"},
	Unknown: {"unknown", "неясно"},
	Warning: {"WARNING", "ВНИМАНИЕ"},
	Error:   {"ERROR", "ОШИБКА"},
}

var groupNames = map[string]text{
	"redis":     {"Redis", "Redis"},
	"nginx":     {"nginx", "nginx"},
	"machine":   {"Kernel limits of this machine", "Пределы ядра этой машины"},
	"processes": {"Edges and publishers", "Процессы edge и publisher"},
	"keys":      {"Settings and keys", "Настройки и ключи"},
	"others":    {"Other programs", "Другие программы"},
	"portal":    {"The public addresses", "Публичные адреса"},
	"capacity":  {"Capacity", "Ёмкость"},
}

// reason is why a check could not look.
type reason int

const (
	notLooked reason = iota
	noSettings
	noRedis
	redisSilent
	redisElsewhere
	noLimit
	noNginx
	noNginxFile
	badNginx
	noRoutes
	noUpstream
	noWorker
	noFile
	notRoot
	noProcesses
	noAnswer
	noMetric
	noSample
	noKey
	noPost
	tooFew
	nobody
	elsewhere
	notMeasured
	noAddress
	notThePortal
)

var reasons = map[reason]text{
	notLooked:      {"not looked at", "не проверялось"},
	noSettings:     {"the settings cannot be read", "настройки не читаются"},
	noRedis:        {"Redis does not answer", "Redis не отвечает"},
	redisSilent:    {"Redis does not say: it is managed by others, or its user may not ask (INFO, CONFIG GET)", "Redis не говорит: им управляют другие, или у пользователя нет прав (INFO, CONFIG GET)"},
	redisElsewhere: {"Redis runs on another machine: look there", "Redis на другой машине: проверьте там"},
	noLimit:        {"maxmemory is not known, or there is none", "maxmemory неизвестен или не задан"},
	noNginx:        {"nginx -T cannot be run here: run doctor as root on the machine of nginx, or pass its output with --nginx FILE", "nginx -T здесь не выполнить: запустите doctor от root на машине с nginx или передайте вывод: --nginx ФАЙЛ"},
	noNginxFile:    {"the file of --nginx cannot be read", "файл из --nginx не читается"},
	badNginx:       {"this is not the output of nginx -T: make it with nginx -T >FILE", "это не вывод nginx -T: получите его так: nginx -T >ФАЙЛ"},
	noRoutes:       {"nginx has no locations for it", "в nginx нет таких location"},
	noUpstream:     {"nginx chooses the server by a variable", "nginx выбирает сервер по переменной"},
	noWorker:       {"worker_rlimit_nofile is not set, and no worker of nginx runs here", "worker_rlimit_nofile не задан, и рабочие процессы nginx здесь не запущены"},
	noFile:         {"this system does not say", "эта система не сообщает"},
	notRoot:        {"the owner of a port is not known: run doctor as root on the machine itself", "владелец порта неизвестен: запустите doctor от root на самой машине"},
	noProcesses:    {"no admin port is known: name them with --admin ADDRESS,ADDRESS, or run doctor as root on their machine", "служебные порты неизвестны: укажите их: --admin АДРЕС,АДРЕС, или запустите doctor от root на их машине"},
	noAnswer:       {"no process has answered", "ни один процесс не ответил"},
	noMetric:       {"this system does not count descriptors", "эта система не считает дескрипторы"},
	noSample:       {"no sample: pass a CHANNEL_ID of the portal, or an address with one, with --sample", "нет образца: передайте CHANNEL_ID портала или адрес с ним: --sample"},
	noKey:          {"none of the keys made the sample's signature", "подпись образца не сделана ни одним из ключей"},
	tooFew:         {"too few connections were opened to tell what one costs", "открыто слишком мало соединений, чтобы узнать, сколько стоит одно"},
	nobody:         {"hardly anybody is connected now, so the traffic of a user is not known: measure when people work", "сейчас почти никто не подключён, и нагрузка от пользователя неизвестна: измерьте в рабочее время"},
	elsewhere:      {"an edge runs on another machine: measure there, too", "edge работает на другой машине: измерьте и там"},
	notMeasured:    {"the measurement ended before", "измерение закончилось раньше"},
	noAddress:      {"the edges are not known: pass the portal's address with --portal, or run doctor as root on the machine of nginx", "адреса edge неизвестны: передайте адрес портала в --portal или запустите doctor от root на машине с nginx"},
	notThePortal:   {"the publisher takes posts without a signature only from the portal's machine: run doctor there", "publisher принимает публикации без подписи только с машины портала: запустите doctor там"},
	noPost:         {"the post did not succeed, so nothing could be received", "публикация не прошла, получать нечего"},
}
