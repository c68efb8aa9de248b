// SPDX-License-Identifier: GPL-2.0-only
/*
 * The live view: keys, and as much of the tables as the terminal has room for.
 */
#include <curses.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "attach.h"
#include "progress.h"
#include "top_screen.h"
#include "top_text.h"

/* Lines above the devices */
#define HEAD	2
/* A signal that comes just before a wait is noticed after this, at the latest */
#define SLICE_MS	200

/* Curses is not at work. */
static volatile sig_atomic_t looking;

struct screen {
	struct top_sources *sources;
	struct top_sample sample;
	uint64_t next_ns;
	uint64_t left;
	double seconds;
	enum top_order order;
	size_t device;
	char chosen[128];
	int scroll;
	bool paused;
	bool help;
	bool ended;
};

static const char help_text[] =
	"q        quit\n"
	"h, ?     this text, and back\n"
	"Up, Down another device\n"
	"PgUp, PgDn  more lines of what belongs to it\n"
	"s        sort by name, rate or fill\n"
	"p, Space pause, and go on\n"
	"\n"
	"RECVD/s  doorbells that have arrived     RUNG/s  that were rung here\n"
	"LINK     one direction of a link between two peers, in a section\n"
	"FILL     how much of its rings waits to be read\n"
	"BUSY     requests under way, of as many as the disk can have\n"
	"-        not known\n";

static void put_line(int y, const char *text, size_t length)
{
	int room = COLS;

	if (y < LINES)
		mvaddnstr(y, 0, text, length < (size_t)room ? (int)length :
							      room);
}

/* Lines of @text from @skip on, at line @y and below; returns their number. */
static int put_text(int y, const char *text, int skip)
{
	const char *end;
	int lines = 0;

	for (; *text; text = *end ? end + 1 : end, lines++) {
		end = text + strcspn(text, "\n");
		if (lines >= skip)
			put_line(y + lines - skip, text, (size_t)(end - text));
	}
	return lines;
}

static void put_head(const struct screen *screen)
{
	static const char *const orders[] = { "name", "rate", "fill" };
	char clock[16], line[160];
	struct tm tm;
	time_t now;

	now = time(NULL);
	localtime_r(&now, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	snprintf(line, sizeof(line),
		 "ivshmem top - %s, every %.1f s, by %s%s   h help, q quit",
		 clock, screen->seconds, orders[screen->order],
		 screen->paused ? ", PAUSED" : "");
	put_line(0, line, strlen(line));
}

/* Below the list of devices, of which the chosen one is kept in sight. */
static int put_devices(const struct screen *screen)
{
	const char *none = screen->sample.seconds > 0 ?
			   "there is no device yet" : "opening all there are";
	int room = LINES / 2 - HEAD, first = 0, y;
	char *text = NULL;
	size_t size;
	FILE *out;

	out = open_memstream(&text, &size);
	if (!out)
		return HEAD;
	top_print_devices(out, &screen->sample);
	if (fclose(out)) {
		free(text);
		return HEAD;
	}
	if (room < 2)
		room = 2;
	if ((int)screen->device + 1 >= room)
		first = (int)screen->device + 2 - room;
	y = put_text(HEAD, text, first) - first;
	if (y > room) {
		y = room;
		move(HEAD + room, 0);
		clrtobot();
	}
	if (screen->sample.count)
		mvchgat(HEAD + 1 + (int)screen->device - first, 0, -1,
			A_REVERSE, 0, NULL);
	else
		put_line(HEAD + 1, none, strlen(none));
	free(text);
	return HEAD + (screen->sample.count ? y : 2);
}

static void put_details(struct screen *screen, int y)
{
	char *text = NULL;
	int lines = 0;
	size_t size;
	FILE *out;

	out = open_memstream(&text, &size);
	if (!out)
		return;
	top_print_device(out, &screen->sample.devices[screen->device]);
	if (fclose(out)) {
		free(text);
		return;
	}
	for (size = 0; text[size]; size++)
		lines += text[size] == '\n';
	if (screen->scroll > lines - (LINES - y))
		screen->scroll = lines - (LINES - y);
	if (screen->scroll < 0)
		screen->scroll = 0;
	put_text(y, text, screen->scroll);
	free(text);
}

static void draw(struct screen *screen)
{
	int y;

	erase();
	put_head(screen);
	if (screen->help) {
		put_text(HEAD, help_text, 0);
	} else {
		y = put_devices(screen);
		if (screen->sample.count)
			put_details(screen, y);
	}
	refresh();
}

static void choose(struct screen *screen, size_t device)
{
	screen->device = device;
	snprintf(screen->chosen, sizeof(screen->chosen), "%s",
		 screen->sample.devices[device].address);
}

/* The mark stays on its device, and returns with it, while others come and go. */
static void find_chosen(struct screen *screen)
{
	const struct top_sample *sample = &screen->sample;
	size_t i;

	if (!sample->count)
		return;
	for (i = 0; i < sample->count; i++)
		if (!strcmp(sample->devices[i].address, screen->chosen)) {
			screen->device = i;
			return;
		}
	if (screen->device >= sample->count)
		screen->device = sample->count - 1;
	if (!*screen->chosen)
		choose(screen, screen->device);
}

static void move_mark(struct screen *screen, bool down)
{
	screen->scroll = 0;
	if (down && screen->device + 1 < screen->sample.count)
		choose(screen, screen->device + 1);
	else if (!down && screen->device)
		choose(screen, screen->device - 1);
}

static int look(struct screen *screen)
{
	struct top_sample sample;
	int ret;

	looking = 1;
	ret = top_look(screen->sources, &sample);
	looking = 0;
	if (ret) {
		top_release(&sample);
		return ret;
	}
	top_rate(&sample, &screen->sample);
	top_release(&screen->sample);
	screen->sample = sample;
	find_chosen(screen);
	top_sort(&screen->sample, screen->order);
	return 0;
}

static void press(struct screen *screen, int key)
{
	switch (key) {
	case 'q':
		screen->ended = true;
		break;
	case 'h':
	case '?':
		screen->help = !screen->help;
		break;
	case 's':
		screen->order = (screen->order + 1) % TOP_ORDERS;
		top_sort(&screen->sample, screen->order);
		break;
	case 'p':
	case ' ':
		screen->paused = !screen->paused;
		break;
	case KEY_UP:
		move_mark(screen, false);
		break;
	case KEY_DOWN:
		move_mark(screen, true);
		break;
	case KEY_PPAGE:
		screen->scroll -= LINES / 2;
		break;
	case KEY_NPAGE:
		screen->scroll += LINES / 2;
		break;
	default:
		/* KEY_RESIZE, too: it is drawn anew in any case. */
		break;
	}
}

/* Then there is no wait for a key any more; one that was pressed does not matter. */
static bool is_hung_up(void)
{
	struct pollfd terminal = { .fd = STDIN_FILENO };

	return poll(&terminal, 1, 0) > 0 &&
	       terminal.revents & (POLLHUP | POLLERR | POLLNVAL);
}

/* Looks if it is time, and waits for a key. */
static int turn(struct screen *screen)
{
	uint64_t now = now_ns();
	int ret, key;

	if (now >= screen->next_ns) {
		screen->next_ns = now + (uint64_t)(screen->seconds * 1e9);
		ret = screen->paused ? 0 : look(screen);
		if (ret)
			return ret;
		if (!screen->paused)
			screen->ended = screen->left && !--screen->left;
	}
	draw(screen);
	now = now_ns();
	now = screen->next_ns > now ? (screen->next_ns - now) / 1000000 + 1 : 0;
	timeout(now < SLICE_MS ? (int)now : SLICE_MS);
	key = getch();
	if (key != ERR)
		press(screen, key);
	else if (is_hung_up())
		screen->ended = true;
	return 0;
}

static void leave_screen(void)
{
	endwin();
}

/*
 * The first one ends us after the look that is under way, which may take seconds if a
 * server does not answer.  The second one need not wait: curses is idle meanwhile.
 */
static void note_end(int number)
{
	if (interrupted && looking) {
		endwin();
		signal(number, SIG_DFL);
		raise(number);
	}
	interrupted = 1;
}

/* Also Ctrl-\, which would leave the terminal as it is for curses. */
static void catch_ends(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGQUIT, SIGHUP };
	const struct sigaction action = { .sa_handler = note_end };
	struct sigaction before;
	size_t i;

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (!sigaction(numbers[i], NULL, &before) &&
		    before.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
}

enum exit_code top_screen(struct top_sources *sources, double seconds,
			  uint64_t count)
{
	struct screen screen = {
		.sources = sources,
		.seconds = seconds,
		/* The first look has no rates yet. */
		.left = count ? count + 1 : 0,
	};
	SCREEN *terminal;
	int ret = 0;

	terminal = newterm(NULL, stdout, stdin);
	if (!terminal) {
		complain("this terminal ($TERM) is not known; -b prints "
			 "without one");
		return EXIT_FAILED;
	}
	top_at_end = leave_screen;
	catch_ends();
	cbreak();
	noecho();
	curs_set(0);
	keypad(stdscr, TRUE);
	/* The first look takes seconds for each server that does not answer. */
	draw(&screen);
	while (!ret && !screen.ended && !interrupted)
		ret = turn(&screen);
	endwin();
	delscreen(terminal);
	top_at_end = NULL;
	top_release(&screen.sample);
	if (!ret)
		return EXIT_DONE;
	complain("%s", strerror(-ret));
	return EXIT_FAILED;
}
