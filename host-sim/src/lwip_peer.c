/*
 * lwIP as a peer: the library liblwip on a wire of lines.
 *
 * Usage: lwip_peer MAC ADDRESS PREFIX, the first in hexadecimal digits.
 *
 * Each line on standard input is a command. It is answered by lines on standard output:
 *
 *   frame HEX             lwIP sends an Ethernet frame
 *   accepted LISTENER ID  the application has a new connection
 *   connected ID          its connection is established
 *   data ID HEX           it receives
 *   closed ID             it has received all: the peer's FIN
 *   aborted ID ERR ERRNO  the connection is gone; lwIP's number of the reason, and the one of the system
 *   version, id, sent, state   what the start and the commands return
 *   failed ERR            what a command fails with
 *   done MILLISECONDS     the command is finished; the time until lwIP's next timer, -1 for none
 *
 * One thread, lwIP's raw interface, no tcpip_thread. The clock is the command `time`: sys_now below takes the place of the library's.
 */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lwip/err.h"
#include "lwip/etharp.h"
#include "lwip/ethip6.h"
#include "lwip/init.h"
#include "lwip/ip.h"
#include "lwip/ip_addr.h"
#include "lwip/netif.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"
#include "lwip/timeouts.h"
#include "netif/ethernet.h"

#define MOST_PCBS 16384
#define FRAME_SIZE 1514
#define MTU 1500
#define BACKLOG 8
/* A command carries a frame or data in hexadecimal digits. */
#define LINE_SIZE (2 * 65536)
#define ADDRESS_SIZE 64

static u32_t clock_ms;
static struct netif station;
static u8_t mac[ETH_HWADDR_LEN];
/* By number; NULL where the connection is gone. */
static struct tcp_pcb *pcbs[MOST_PCBS];
static unsigned pcb_count;

u32_t sys_now(void) { return clock_ms; }

static void print_hex(const u8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        printf("%02x", bytes[i]);
    putchar('\n');
}

/* Reads hexadecimal digits in place; returns the number of bytes. */
static size_t read_hex(const char *text, u8_t *bytes, size_t size)
{
    size_t len = 0;
    unsigned byte;
    while (len < size && sscanf(text + 2 * len, "%2x", &byte) == 1)
        bytes[len++] = (u8_t)byte;
    return len;
}

static void *pcb_arg(unsigned id) { return (void *)(uintptr_t)id; }
static unsigned pcb_id(void *arg) { return (unsigned)(uintptr_t)arg; }

/* ---- what the application learns ---- */

static err_t on_received(void *arg, struct tcp_pcb *pcb, struct pbuf *data, err_t err)
{
    (void)pcb;
    (void)err;
    if (data == NULL) {
        printf("closed %u\n", pcb_id(arg));
        return ERR_OK;
    }
    printf("data %u ", pcb_id(arg));
    for (struct pbuf *part = data; part != NULL; part = part->next)
        for (u16_t i = 0; i < part->len; i++)
            printf("%02x", ((u8_t *)part->payload)[i]);
    putchar('\n');
    pbuf_free(data);
    return ERR_OK;
}

static void on_error(void *arg, err_t err)
{
    pcbs[pcb_id(arg)] = NULL;
    printf("aborted %u %d %d\n", pcb_id(arg), err, err_to_errno(err));
}

static int hold(struct tcp_pcb *pcb)
{
    if (pcb_count == MOST_PCBS)
        return -1;
    pcbs[pcb_count] = pcb;
    return (int)pcb_count++;
}

static void serve(struct tcp_pcb *pcb, int id)
{
    tcp_arg(pcb, pcb_arg((unsigned)id));
    tcp_recv(pcb, on_received);
    tcp_err(pcb, on_error);
}

static err_t on_accepted(void *arg, struct tcp_pcb *pcb, err_t err)
{
    if (pcb == NULL || err != ERR_OK)
        return ERR_VAL;
    int id = hold(pcb);
    if (id < 0)
        return ERR_MEM;
    serve(pcb, id);
    printf("accepted %u %d\n", pcb_id(arg), id);
    return ERR_OK;
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
    (void)pcb;
    (void)err;
    printf("connected %u\n", pcb_id(arg));
    return ERR_OK;
}

/* ---- the network interface ---- */

static err_t send_frame(struct netif *netif, struct pbuf *frame)
{
    u8_t bytes[FRAME_SIZE];
    (void)netif;
    if (frame->tot_len > sizeof bytes)
        return ERR_BUF;
    pbuf_copy_partial(frame, bytes, frame->tot_len, 0);
    fputs("frame ", stdout);
    print_hex(bytes, frame->tot_len);
    return ERR_OK;
}

static void receive_frame(const char *text)
{
    u8_t bytes[FRAME_SIZE];
    size_t len = read_hex(text, bytes, sizeof bytes);
    /* Not PBUF_POOL: in Debian's library the pool's elements are shorter than pbuf_alloc takes them for. */
    struct pbuf *frame = pbuf_alloc(PBUF_RAW, (u16_t)len, PBUF_RAM);
    if (frame == NULL) {
        printf("failed %d\n", ERR_MEM);
        return;
    }
    pbuf_take(frame, bytes, (u16_t)len);
    if (station.input(frame, &station) != ERR_OK)
        pbuf_free(frame);
}

static err_t set_up_interface(struct netif *netif)
{
    netif->name[0] = 'p';
    netif->name[1] = 'r';
    netif->mtu = MTU;
    netif->hwaddr_len = ETH_HWADDR_LEN;
    memcpy(netif->hwaddr, mac, ETH_HWADDR_LEN);
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_MLD6 | NETIF_FLAG_LINK_UP;
    netif->output = etharp_output;
    netif->output_ip6 = ethip6_output;
    netif->linkoutput = send_frame;
    return ERR_OK;
}

/* An IPv6 address is set as the only one, and as one that needs no duplicate address detection. */
static int start(const char *mac_text, const char *address_text, unsigned prefix)
{
    ip_addr_t address;
    ip4_addr_t mask;
    if (read_hex(mac_text, mac, sizeof mac) != sizeof mac || !ipaddr_aton(address_text, &address))
        return 0;
    lwip_init();
    if (netif_add_noaddr(&station, NULL, set_up_interface, ethernet_input) == NULL)
        return 0;
    if (IP_IS_V6(&address)) {
        netif_ip6_addr_set(&station, 0, ip_2_ip6(&address));
        netif_ip6_addr_set_state(&station, 0, IP6_ADDR_PREFERRED);
    } else {
        ip4_addr_set_u32(&mask, prefix == 0 ? 0 : htonl(0xffffffffU << (32 - prefix)));
        netif_set_addr(&station, ip_2_ip4(&address), &mask, IP4_ADDR_ANY4);
    }
    netif_set_default(&station);
    netif_set_up(&station);
    return 1;
}

/* ---- commands ---- */

static const ip_addr_t *own_address(void)
{
    return ip4_addr_isany_val(*netif_ip4_addr(&station)) ? netif_ip_addr6(&station, 0) : netif_ip_addr4(&station);
}

/* A new pcb on a port of ours; NULL if there is none. */
static struct tcp_pcb *bound(u16_t port)
{
    struct tcp_pcb *pcb = tcp_new_ip_type(IP_GET_TYPE(own_address()));
    if (pcb == NULL)
        return NULL;
    /* The port may have connections in TIME-WAIT. */
    ip_set_option(pcb, SOF_REUSEADDR);
    if (tcp_bind(pcb, own_address(), port) == ERR_OK)
        return pcb;
    tcp_abort(pcb);
    return NULL;
}

static err_t listen_on(u16_t port)
{
    struct tcp_pcb *pcb = bound(port);
    if (pcb == NULL)
        return ERR_USE;
    struct tcp_pcb *listener = tcp_listen_with_backlog(pcb, BACKLOG);
    if (listener == NULL)
        return ERR_MEM;
    int id = hold(listener);
    if (id < 0)
        return ERR_MEM;
    tcp_arg(listener, pcb_arg((unsigned)id));
    tcp_accept(listener, on_accepted);
    printf("id %d\n", id);
    return ERR_OK;
}

static err_t connect_to(u16_t port, const char *address_text, u16_t remote_port)
{
    ip_addr_t address;
    struct tcp_pcb *pcb = bound(port);
    if (pcb == NULL)
        return ERR_USE;
    int id = hold(pcb);
    if (id < 0 || !ipaddr_aton(address_text, &address))
        return ERR_VAL;
    serve(pcb, id);
    printf("id %d\n", id);
    return tcp_connect(pcb, &address, remote_port, on_connected);
}

static err_t write_data(struct tcp_pcb *pcb, const char *text)
{
    static u8_t bytes[LINE_SIZE / 2];
    size_t len = read_hex(text, bytes, sizeof bytes);
    if (len > tcp_sndbuf(pcb))
        len = tcp_sndbuf(pcb);
    err_t err = tcp_write(pcb, bytes, (u16_t)len, TCP_WRITE_FLAG_COPY);
    if (err == ERR_MEM) {
        /* The queue of segments is full: nothing is taken now. */
        len = 0;
        err = ERR_OK;
    }
    if (err == ERR_OK) {
        printf("sent %zu\n", len);
        err = tcp_output(pcb);
    }
    return err;
}

/* Lets go of a pcb: the application learns no more of it. */
static void let_go(struct tcp_pcb *pcb, unsigned id)
{
    pcbs[id] = NULL;
    tcp_arg(pcb, NULL);
    tcp_recv(pcb, NULL);
    tcp_err(pcb, NULL);
}

static err_t close_pcb(struct tcp_pcb *pcb, unsigned id)
{
    let_go(pcb, id);
    return tcp_close(pcb);
}

static err_t abandon(struct tcp_pcb *pcb, unsigned id, int sends_rst)
{
    let_go(pcb, id);
    tcp_abandon(pcb, sends_rst);
    return ERR_OK;
}

static err_t keep_alive(struct tcp_pcb *pcb, const char *text)
{
    unsigned idle, interval, count;
    if (sscanf(text, "%u %u %u", &idle, &interval, &count) != 3)
        return ERR_VAL;
    pcb->keep_idle = idle;
    pcb->keep_intvl = interval;
    pcb->keep_cnt = count;
    ip_set_option(pcb, SOF_KEEPALIVE);
    return ERR_OK;
}

static int is_between(const struct tcp_pcb *pcb, u16_t port, const ip_addr_t *address, u16_t remote_port)
{
    return pcb->local_port == port && pcb->remote_port == remote_port && ip_addr_cmp(&pcb->remote_ip, address);
}

/* The state of a connection; that of a listener on the port if there is no connection. */
static err_t print_state(u16_t port, const char *address_text, u16_t remote_port)
{
    ip_addr_t address;
    if (!ipaddr_aton(address_text, &address))
        return ERR_VAL;
    const struct tcp_pcb *found = NULL;
    for (const struct tcp_pcb *pcb = tcp_active_pcbs; pcb != NULL; pcb = pcb->next)
        if (is_between(pcb, port, &address, remote_port))
            found = pcb;
    for (const struct tcp_pcb *pcb = tcp_tw_pcbs; pcb != NULL; pcb = pcb->next)
        if (is_between(pcb, port, &address, remote_port))
            found = pcb;
    int is_listening = 0;
    for (const struct tcp_pcb_listen *pcb = tcp_listen_pcbs.listen_pcbs; pcb != NULL; pcb = pcb->next)
        is_listening |= pcb->local_port == port;
    printf("state %s\n", tcp_debug_state_str(found != NULL ? found->state : is_listening ? LISTEN : CLOSED));
    return ERR_OK;
}

/* A command about a pcb: its number, then what the command needs. */
static err_t run_on_pcb(const char *command, const char *rest)
{
    unsigned id;
    int used;
    if (sscanf(rest, "%u %n", &id, &used) != 1 || id >= pcb_count)
        return ERR_VAL;
    struct tcp_pcb *pcb = pcbs[id];
    if (pcb == NULL)
        return ERR_CONN;
    rest += used;
    if (strcmp(command, "send") == 0)
        return write_data(pcb, rest);
    if (strcmp(command, "read") == 0) {
        tcp_recved(pcb, (u16_t)atoi(rest));
        return ERR_OK;
    }
    if (strcmp(command, "shutdown") == 0)
        return tcp_shutdown(pcb, 0, 1);
    if (strcmp(command, "close") == 0)
        return close_pcb(pcb, id);
    if (strcmp(command, "abort") == 0)
        return abandon(pcb, id, 1);
    if (strcmp(command, "vanish") == 0)
        return abandon(pcb, id, 0);
    if (strcmp(command, "keepalive") == 0)
        return keep_alive(pcb, rest);
    return ERR_VAL;
}

static err_t run(const char *command, const char *rest)
{
    char address[ADDRESS_SIZE];
    unsigned port, remote_port;
    if (strcmp(command, "time") == 0) {
        clock_ms = (u32_t)strtoul(rest, NULL, 10);
        sys_check_timeouts();
        return ERR_OK;
    }
    if (strcmp(command, "frame") == 0) {
        receive_frame(rest);
        return ERR_OK;
    }
    if (strcmp(command, "listen") == 0 && sscanf(rest, "%u", &port) == 1)
        return listen_on((u16_t)port);
    if (strcmp(command, "connect") == 0 && sscanf(rest, "%u %63s %u", &port, address, &remote_port) == 3)
        return connect_to((u16_t)port, address, (u16_t)remote_port);
    if (strcmp(command, "state") == 0 && sscanf(rest, "%u %63s %u", &port, address, &remote_port) == 3)
        return print_state((u16_t)port, address, (u16_t)remote_port);
    return run_on_pcb(command, rest);
}

static void print_done(void)
{
    u32_t sleep = sys_timeouts_sleeptime();
    if (sleep == SYS_TIMEOUTS_SLEEPTIME_INFINITE)
        puts("done -1");
    else
        printf("done %u\n", (unsigned)sleep);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static char line[LINE_SIZE + 64];
    printf("version %s\n", LWIP_VERSION_STRING);
    if (argc != 4 || !start(argv[1], argv[2], (unsigned)atoi(argv[3]))) {
        fputs("usage: lwip_peer MAC ADDRESS PREFIX\n", stderr);
        return 2;
    }
    print_done();
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *rest = strchr(line, ' ');
        if (rest != NULL)
            *rest++ = '\0';
        err_t err = run(line, rest != NULL ? rest : "");
        if (err != ERR_OK)
            printf("failed %d\n", err);
        print_done();
    }
    return 0;
}
